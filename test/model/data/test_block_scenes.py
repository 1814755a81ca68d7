"""Exact tracks of block scenes: against the geometry they come from, against the picture, against an occlusion made
on purpose."""

import cv2
import numpy as np
import pytest

from trajforecast_model.sim.mujoco_setup import configure_mujoco

configure_mujoco(("mujoco",))

import mujoco  # noqa: E402

from trajforecast_model.data.block_scenes import GRID, INFO, scene_windows, track_rollout  # noqa: E402
from trajforecast_model.sim.blocks.generate import BlockSettings, SceneJob, SceneSimulator  # noqa: E402
from trajforecast_model.sim.blocks.model import CAMERA, FIELD_OF_VIEW, IMAGE_SIZE  # noqa: E402
from trajforecast_model.sim.blocks.rollout import launch_velocities, simulate_rollout  # noqa: E402
from trajforecast_model.sim.blocks.scene import draw_scene  # noqa: E402
from trajforecast_model.sim.blocks.scene_files import read_scene  # noqa: E402
from trajforecast_model.sim.blocks.view import BlockView  # noqa: E402
from trajforecast_model.sim.scene.rendering import SceneRenderer  # noqa: E402
from trajforecast_model.tracks.grid import query_points  # noqa: E402

POINTS = query_points(GRID, IMAGE_SIZE)
SEED = 3


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    file = tmp_path_factory.mktemp("scenes") / "scene.hdf5"
    SceneSimulator()(SceneJob(SEED, BlockSettings(rollouts=3), file))
    return read_scene(file)


@pytest.fixture(scope="module")
def windows(simulated):
    return scene_windows(simulated)


def test_a_scene_gives_a_window_of_every_rollout(windows, simulated):
    assert [window.demo for window in windows] == [f"scene_000003_rollout_{number:03d}" for number in range(3)]
    for window in windows:
        assert window.tracks.shape == (24, 32, 32, 2) and window.tracks.dtype == np.float32
        assert window.visibility.shape == (24, 32, 32) and window.num_real_frames == INFO.num_frames == 24
        np.testing.assert_array_equal(window.image, simulated.image)
        np.testing.assert_array_equal(window.tracks[0], POINTS)
        assert window.visibility[0].all()


def test_the_picture_is_the_first_frame_of_every_rollout_bit_by_bit(simulated):
    view = BlockView(simulated.scene.compile())
    for states in simulated.states:
        view.show(states[0])
        np.testing.assert_array_equal(view.image(), simulated.image)
        np.testing.assert_array_equal(view.object_mask(), simulated.mask)


def test_what_moves_is_what_the_mask_shows(windows, simulated):
    on_object = simulated.mask[4::8, 4::8] > 0
    assert 20 < on_object.sum() < 500
    for window in windows:
        moved = np.abs(window.tracks - window.tracks[0]).max(axis=(0, -1))
        assert (moved[on_object] > 3).all() and (moved[~on_object] < 1e-3).all()


def test_futures_of_a_scene_differ(windows):
    ends = np.stack([window.tracks[-1] for window in windows])
    assert (np.abs(ends[:, None] - ends[None]).max(axis=(2, 3, 4)) > 20).sum() == 6


def test_a_body_at_rest_has_still_tracks(simulated):
    view = BlockView(simulated.scene.compile())
    tracks, visibility = track_rollout(view, np.repeat(simulated.states[0, :1], 4, axis=0))
    np.testing.assert_allclose(tracks, np.broadcast_to(POINTS, tracks.shape), atol=1e-3)
    assert visibility.all()


def test_tracks_of_free_fall_are_parabolas_in_the_pinhole_camera():
    """Written out anew: the ray of each pixel, the depth, half g t^2, the projection."""
    scene = draw_scene(SEED)
    model = scene.compile()
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    states = simulate_rollout(model, SEED, 0)[:8]
    view = BlockView(model)
    tracks, _ = track_rollout(view, states)
    view.show(states[0])
    depth, body = view.cast_rays(POINTS)
    focal = 128 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))
    in_camera = np.stack([(POINTS[..., 0] - 128) / focal, (128 - POINTS[..., 1]) / focal, -np.ones(GRID)], axis=-1)
    world = view.camera_position + (in_camera * depth[..., None]) @ view.camera_rotation.T
    blocks = len(scene.objects)
    velocity = launch_velocities(SEED, 0, states[0, 1 : 1 + 7 * blocks].reshape(blocks, 7)[:, :3])
    moving = body > 0
    assert moving.sum() > 20
    for frame, track in enumerate(tracks):
        t = frame / 12
        there = world[moving] + velocity[body[moving] - 1] * t - [0, 0, 0.5 * 9.81 * t * t]
        x, y, z = ((there - view.camera_position) @ view.camera_rotation).T
        expected = np.stack([128 - focal * x / z, 128 + focal * y / z], axis=-1)
        assert np.abs(track[moving] - expected).max() < 0.5


def test_rays_and_the_renderer_see_the_same(simulated):
    model = simulated.scene.compile()
    view, data = BlockView(model), mujoco.MjData(model)
    view.show(simulated.states[0, 10])
    data.qpos[:] = simulated.states[0, 10, 1 : 1 + model.nq]
    mujoco.mj_forward(model, data)
    renderer = SceneRenderer(model, IMAGE_SIZE, cameras={CAMERA: CAMERA})
    drawn_depth, drawn_body = renderer.geometry(data, CAMERA)
    renderer.close()
    pixels = np.stack(np.meshgrid(np.arange(256) + 0.5, np.arange(256) + 0.5), axis=-1)
    depth, body = view.cast_rays(pixels)
    assert (body == drawn_body).mean() > 0.995
    both = (body == drawn_body) & (body > 0)
    assert both.sum() > 500
    assert np.median(np.abs(depth - drawn_depth)[both]) < 0.01


def test_colours_move_along_the_visible_tracks(simulated, windows):
    view = BlockView(simulated.scene.compile())
    view.show(simulated.states[0, 6])
    later = view.image()
    window = windows[0]
    moved = np.abs(window.tracks[6] - window.tracks[0]).max(axis=-1) > 5
    chosen = moved & window.visibility[6]
    assert chosen.sum() > 15
    before = colours(window.image, window.tracks[0][chosen])
    along = np.abs(colours(later, window.tracks[6][chosen]) - before).mean()
    in_place = np.abs(colours(later, window.tracks[0][chosen]) - before).mean()
    assert along < 0.5 * in_place


def colours(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Interpolated between pixel centres, which lie at half pixels."""
    x, y = (points - 0.5).astype(np.float32).T
    return cv2.remap(image.astype(np.float32), x[:, None], y[:, None], cv2.INTER_LINEAR)


TWO_BOXES = f"""
<mujoco>
  <worldbody>
    <camera name="{CAMERA}" pos="0 0 10" fovy="{FIELD_OF_VIEW}"/>
    <geom type="plane" size="20 20 1"/>
    <body name="screen" pos="1.5 0 3"><freejoint/><geom type="box" size=".8 .8 .1"/></body>
    <body name="slider" pos="-1.5 0 1"><freejoint/><geom type="box" size=".3 .3 .3"/></body>
  </worldbody>
</mujoco>
"""


def test_a_point_is_hidden_while_another_block_is_before_it():
    """Seen from above, a box slides under a higher one and out again."""
    model = mujoco.MjModel.from_xml_string(TWO_BOXES)
    view = BlockView(model)
    states = np.zeros((3, 1 + model.nq + model.nv))
    states[:, 1 : 1 + model.nq] = model.qpos0
    states[:, 1 + 7] = [-1.5, 1.5, 3.3]  # the slider's x
    tracks, visibility = track_rollout(view, states)
    view.show(states[0])
    body = view.cast_rays(POINTS)[1]
    assert (body == 2).sum() >= 4
    assert visibility[0, body == 2].all() and visibility[2, body == 2].all()
    assert not visibility[1, body == 2].any()
    assert visibility[:, body == 1].all()
    # On its top, at depth 10 - 1.3, every metre is focal / 8.7 pixels.
    moved = (tracks[:, body == 2] - tracks[0, body == 2])[..., 0]
    focal = 128 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))
    np.testing.assert_allclose(moved[1:], np.array([[3.0], [4.8]]) * focal / 8.7 * np.ones(moved.shape[1]), rtol=1e-4)


def test_states_of_another_scene_are_refused(simulated):
    with pytest.raises(ValueError, match="the scene needs"):
        track_rollout(BlockView(simulated.scene.compile()), simulated.states[0, :, :-1])
