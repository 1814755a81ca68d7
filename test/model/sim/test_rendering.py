"""The off-screen renderer on a small scene: which way is up, what depth and ids mean, several scenes in one process."""

import gc

import numpy as np
import pytest

from trajforecast_model.sim.mujoco_setup import configure_mujoco

configure_mujoco()

import mujoco  # noqa: E402

from trajforecast_model.sim.scene.rendering import SceneRenderer, camera_id  # noqa: E402
from trajforecast_model.sim.scene.replay import Replay  # noqa: E402
from trajforecast_model.tracks.exact_tracks import focal_length  # noqa: E402

SIZE = (96, 128)


def scene(colour: str = "1 0 0 1", collision_box: bool = False) -> str:
    """Both cameras look straight down from 1 m; a box whose top is at 0.2 m lies in the top right quarter."""
    hidden = '<geom type="box" size="1 1 .01" pos="0 0 .5" group="0"/>' if collision_box else ""
    return f"""
    <mujoco>
      <asset><material name="box" rgba="{colour}" emission="1" specular="0"/></asset>
      <visual><map znear="0.01" zfar="50"/></visual>
      <statistic extent="1" center="0 0 0"/>
      <worldbody>
        <geom type="plane" size="3 3 .1" group="1" rgba=".3 .3 .3 1"/>
        {hidden}
        <camera name="agentview" pos="0 0 1" fovy="60"/>
        <camera name="robot0_eye_in_hand" pos="0 0 1" fovy="60"/>
        <site name="mark" pos="-.2 -.2 .3" size=".1"/>
        <body name="block" pos=".2 .2 .1"><geom type="box" size=".1 .1 .1" group="1" material="box"/></body>
      </worldbody>
    </mujoco>"""


@pytest.fixture
def opened():
    """Makes renderers and closes them in the end: opened(xml) -> (model, data, renderer)."""
    renderers = []

    def make(xml: str):
        model = mujoco.MjModel.from_xml_string(xml)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        renderers.append(SceneRenderer(model, SIZE))
        return model, data, renderers[-1]

    yield make
    for renderer in renderers:
        renderer.close()


def is_coloured(image: np.ndarray, channel: int) -> np.ndarray:
    others = np.delete(image, channel, axis=-1).max(-1).astype(int)
    return image[..., channel].astype(int) - others > 100


def test_pictures_are_upright(opened):
    _, data, renderer = opened(scene())
    red = is_coloured(renderer.image(data, "side"), 0)
    assert red.shape == SIZE
    assert red[:48, 64:].sum() > 100 and red.sum() == red[:48, 64:].sum()


def test_geometry_lies_under_the_picture(opened):
    model, data, renderer = opened(scene())
    red = is_coloured(renderer.image(data, "side"), 0)
    depth, body = renderer.geometry(data, "side")
    block = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, "block")
    # They may differ along the outline, where the picture is averaged.
    assert ((body == block) != red).sum() < 40
    inner = red & np.roll(red, 3, 0) & np.roll(red, -3, 0) & np.roll(red, 3, 1) & np.roll(red, -3, 1)
    near_the_centre_of_the_top = depth[body == block].min()
    assert near_the_centre_of_the_top == pytest.approx(0.8, abs=1e-3)
    assert inner.any() and (body[inner] == block).all()
    np.testing.assert_allclose(depth[body == 0], 1.0, atol=1e-3)


def test_the_top_of_the_block_is_where_the_focal_length_says(opened):
    _, data, renderer = opened(scene())
    depth, _ = renderer.geometry(data, "side")
    rows, columns = np.nonzero(np.abs(depth - 0.8) < 1e-3)
    scale = focal_length(60, SIZE[0]) / 0.8
    edges = [64 + 0.1 * scale, 64 + 0.3 * scale, 48 - 0.3 * scale, 48 - 0.1 * scale]
    found = [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]
    np.testing.assert_allclose(found, edges, atol=1)


def test_collision_shapes_and_sites_are_not_drawn(opened):
    _, data, renderer = opened(scene(collision_box=True))
    depth, body = renderer.geometry(data, "side")
    assert (np.abs(depth - 0.49) > 0.01).all()
    np.testing.assert_allclose(depth[body == 0], 1.0, atol=1e-3)


def test_two_scenes_at_once_do_not_disturb_each_other(opened):
    _, red_data, red = opened(scene())
    alone = red.image(red_data, "side"), *red.geometry(red_data, "side")
    _, blue_data, blue = opened(scene("0 0 1 1"))
    assert is_coloured(blue.image(blue_data, "side"), 2).any()
    for before, after in zip(alone, (red.image(red_data, "side"), *red.geometry(red_data, "side")), strict=True):
        np.testing.assert_array_equal(after, before)


def test_a_scene_opened_after_another_was_closed_is_drawn_right():
    first_picture = None
    for colour, channel in (("1 0 0 1", 0), ("0 0 1 1", 2), ("1 0 0 1", 0)):
        model = mujoco.MjModel.from_xml_string(scene(colour))
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        renderer = SceneRenderer(model, SIZE)
        picture = renderer.image(data, "side")
        depth, body = renderer.geometry(data, "side")
        renderer.close()
        assert is_coloured(picture, channel).any()
        assert set(np.unique(body)) == {0, 1} and 0.79 < depth.min() <= depth.max() < 1.01
        if first_picture is None:
            first_picture = picture
    np.testing.assert_array_equal(picture, first_picture)


def red_and_blue() -> list[tuple[mujoco.MjData, SceneRenderer]]:
    """Two scenes, open at a time."""
    made = []
    for colour in ("1 0 0 1", "0 0 1 1"):
        model = mujoco.MjModel.from_xml_string(scene(colour))
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        made.append((data, SceneRenderer(model, SIZE)))
    return made


def test_closing_one_renderer_leaves_the_other_working():
    made = red_and_blue()
    (red_data, red), (_, blue) = made
    before = red.image(red_data, "side")
    blue.close()
    np.testing.assert_array_equal(red.image(red_data, "side"), before)
    red.close()


def test_a_replay_tells_the_camera_of_a_view():
    replay = Replay(scene(), SIZE)
    replay.show(np.zeros(1))
    position, rotation = replay.camera_pose("effector")
    field_of_view = replay.field_of_view("effector")
    replay.close()
    np.testing.assert_allclose(position, [0, 0, 1])
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-12)
    assert field_of_view == 60


def test_a_scene_without_the_camera_is_refused():
    with pytest.raises(ValueError, match="agentview"):
        camera_id(mujoco.MjModel.from_xml_string("<mujoco/>"), "side")


def test_a_renderer_that_nobody_closed_leaves_the_one_made_after_it_working():
    """As when a program goes on to its next task: pictures of all tasks but the first were noise."""
    made = red_and_blue()
    blue_data, blue = made.pop()
    before = blue.image(blue_data, "side")
    assert is_coloured(before, 2).any()
    made.clear()
    gc.collect()
    np.testing.assert_array_equal(blue.image(blue_data, "side"), before)
    blue.close()
