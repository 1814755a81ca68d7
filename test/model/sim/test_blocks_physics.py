"""Block scenes as physics: what falls falls with g, energy is not made, and each seed has its own futures."""

import numpy as np
import pytest

from trajforecast_model.sim.mujoco_setup import configure_mujoco

configure_mujoco(("mujoco",))

import mujoco  # noqa: E402

from trajforecast_model.sim.blocks.primitives import PRIMITIVES, SEEN, UNSEEN  # noqa: E402
from trajforecast_model.sim.blocks.rollout import NUM_FRAMES, launch_velocities, simulate_rollout  # noqa: E402
from trajforecast_model.sim.blocks.scene import OBJECTS, SIZES, draw_scene  # noqa: E402
from trajforecast_model.sim.blocks.textures import PATTERNS, draw_texture  # noqa: E402
from trajforecast_model.sim.blocks.view import BlockView  # noqa: E402

SEEDS = range(6)


def positions(states: np.ndarray) -> np.ndarray:
    """[..., 1 + nq + nv] to [..., blocks, 3]."""
    blocks = states.shape[-1] // 13
    return states[..., 1 : 1 + 7 * blocks].reshape(*states.shape[:-1], blocks, 7)[..., :3]


def test_blocks_that_touch_nothing_fall_with_g():
    scene = draw_scene(3)
    model = scene.compile()
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    states = simulate_rollout(model, scene.seed, 0)
    t = states[:, 0, None, None]
    np.testing.assert_allclose(t[:, 0, 0], np.arange(NUM_FRAMES) / 12, atol=1e-5)
    start = positions(states)[0]
    velocity = launch_velocities(scene.seed, 0, start)
    expected = start + velocity * t + 0.5 * np.array([0, 0, -9.81]) * t**2
    # MuJoCo's first-order steps are ahead of the parabola by g t dt / 2.
    assert np.abs(positions(states) - expected).max() < 0.02


@pytest.mark.parametrize("primitives", PRIMITIVES)
def test_energy_does_not_grow(primitives):
    """Compared where nothing touches: a contact keeps energy as a spring does, and gives part of it back."""
    for seed in SEEDS:
        model = draw_scene(seed, primitives).compile()
        model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
        data = mujoco.MjData(model)
        blocks = model.nbody - 1
        data.qvel.reshape(blocks, 6)[:, :3] = launch_velocities(seed, 0, data.qpos.reshape(blocks, 7)[:, :3])
        energies = []
        for _ in range((NUM_FRAMES - 1) * 50):
            mujoco.mj_step1(model, data)
            if data.ncon == 0:
                energies.append(data.energy.sum())
            mujoco.mj_step2(model, data)
        energies = np.array(energies) / energies[0]
        assert (energies - np.minimum.accumulate(energies)).max() < 0.02


def test_blocks_collide_and_stay_above_the_floor():
    for seed in SEEDS:
        scene = draw_scene(seed)
        states = simulate_rollout(scene.compile(), seed, 0)
        assert positions(states)[..., 2].min() > 0.05
        turned = np.abs(
            states[-1, 1:].reshape(-1)[3 : 7 * len(scene.objects)] - states[0, 1:][3 : 7 * len(scene.objects)]
        )
        assert turned.max() > 0.1, "without a hit nothing turns"


def test_other_velocities_give_other_futures_of_the_same_beginning():
    scene = draw_scene(1)
    model = scene.compile()
    first, second = (simulate_rollout(model, scene.seed, number) for number in (0, 1))
    np.testing.assert_array_equal(first[0, : 1 + model.nq], second[0, : 1 + model.nq])
    assert (np.linalg.norm(positions(first)[-1] - positions(second)[-1], axis=-1) > 0.1).all()


def test_a_seed_is_a_scene_and_its_rollouts():
    again, other = draw_scene(5), draw_scene(6)
    assert draw_scene(5) == again != other
    model = again.compile()
    np.testing.assert_array_equal(simulate_rollout(model, 5, 2), simulate_rollout(again.compile(), 5, 2))


def test_velocities_are_uniform_around_the_way_to_the_centre():
    where = np.tile([[3.0, -2.0, 4.0]], (10, 1))
    launched = [launch_velocities(0, number, where) for number in range(400)]
    around = np.concatenate(launched) - [-3, 2, 0]
    assert np.abs(around[:, :2]).max() < 4 and (around[:, 2] == 0).all()
    assert np.abs(around.mean(axis=0)).max() < 0.15
    np.testing.assert_allclose(around[:, :2].std(axis=0), 8 / np.sqrt(12), rtol=0.05)


@pytest.mark.parametrize("primitives", PRIMITIVES)
def test_scenes_begin_apart_in_the_air_and_in_view(primitives):
    for seed in SEEDS:
        scene = draw_scene(seed, primitives)
        assert OBJECTS[0] <= len(scene.objects) <= OBJECTS[1]
        assert all(SIZES[0] <= thing["size"] <= SIZES[1] for thing in scene.objects)
        model = scene.compile()
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        assert data.ncon == 0
        view = BlockView(model)
        seen = (data.xpos[1:] - view.camera_position) @ view.camera_rotation
        assert (np.abs(seen[:, :2]).max(axis=1) < -seen[:, 2] * np.tan(np.deg2rad(view.field_of_view / 2))).all()
        assert 10.9 < np.linalg.norm(view.camera_position) < 12.6
        np.testing.assert_allclose(-view.camera_rotation[:, 2] * np.linalg.norm(view.camera_position),
                                   -view.camera_position, atol=1e-3)  # fmt: skip


def test_the_unseen_primitives_are_other_ones():
    assert not SEEN.keys() & UNSEEN.keys() and not set(SEEN.values()) & set(UNSEEN.values())
    for primitives, shapes in PRIMITIVES.items():
        drawn = {thing["primitive"] for seed in range(20) for thing in draw_scene(seed, primitives).objects}
        assert drawn == shapes.keys()


@pytest.mark.parametrize("shape", [*SEEN, *UNSEEN])
def test_a_primitive_fills_a_sphere_of_its_size(shape):
    geoms = (SEEN | UNSEEN)[shape](np.random.default_rng(0), 1.0)
    assets = "".join(
        f'<mesh name="m{i}" vertex="{" ".join(map(str, geom.vertices.ravel()))}"/>'
        for i, geom in enumerate(geoms)
        if geom.vertices is not None
    )
    elements = "".join(
        "<geom "
        + " ".join(f'{name}="{value}"' for name, value in geom.attributes.items())
        + (f' mesh="m{i}"' if geom.vertices is not None else "")
        + "/>"
        for i, geom in enumerate(geoms)
    )
    model = mujoco.MjModel.from_xml_string(
        f"<mujoco><asset>{assets}</asset><worldbody><body><freejoint/>{elements}</body></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    directions = np.random.default_rng(1).normal(size=(4000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    extent = 0.0
    for direction in directions:
        distance = mujoco.mj_ray(model, data, 2 * direction, -direction, None, 1, -1, np.zeros(1, np.int32))
        extent = max(extent, 2 - distance if distance >= 0 else 0.0)
    assert 0.46 < extent < 0.5001


@pytest.mark.parametrize("pattern", PATTERNS)
def test_textures_are_drawn_from_the_generator_alone(pattern):
    first = draw_texture(np.random.default_rng(3), pattern)
    assert first == draw_texture(np.random.default_rng(3), pattern) != draw_texture(np.random.default_rng(4), pattern)


def test_primitives_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="unheard"):
        draw_scene(0, "unheard")
