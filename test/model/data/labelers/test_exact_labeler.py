"""The exact labeler through a real simulator and renderer, on a scene whose motion is known."""

from dataclasses import replace

import numpy as np
import pytest
from small_scene import (
    BLOCK_STEP,
    BLOCK_TOP,
    EFFECTOR_HEIGHT,
    FOVY,
    FRAMES,
    HAND_STEP,
    INSTRUCTION,
    SIDE_HEIGHT,
    scene,
    states,
)

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.exact import ExactLabeler
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.data.windows import window_frames, window_starts
from trajforecast_model.sim.scene.assets import libero_assets, robosuite_assets
from trajforecast_model.tracks.exact_tracks import focal_length
from trajforecast_model.tracks.grid import query_points

INFO = DatasetInfo(labeler="exact", stride=8)
POINTS = query_points(INFO.grid, INFO.image_size)
FOCAL = focal_length(FOVY, 128)
STEPS = np.arange(INFO.num_frames)


def demo(recorded=None, model_xml: str = "", images=None) -> Demo:
    recorded = states() if recorded is None else recorded
    frames = {view: dict(enumerate(pictures, 1)) for view, pictures in (images or {}).items()}
    return Demo("push", "demo_0", INSTRUCTION, len(recorded), 20.0, frames, recorded, model_xml or scene())


@pytest.fixture(scope="module")
def labeler():
    return ExactLabeler()


@pytest.fixture(scope="module")
def windows(labeler):
    return {(window.view, window.start): window for window in labeler.label(demo(), INFO)}


def is_red(image: np.ndarray) -> np.ndarray:
    red, green, blue = image.astype(int).transpose(2, 0, 1)
    return (red > 100) & (green < 60) & (blue < 60)


def red_under_points(image: np.ndarray) -> np.ndarray:
    column, row = np.floor(POINTS).astype(int).transpose(2, 0, 1)
    return is_red(image)[row, column]


def top_of_the_block(start: int) -> np.ndarray:
    """bool [H, W]: the points of the side view on the block's upper face, a pixel within its edges."""
    scale = FOCAL / (SIDE_HEIGHT - BLOCK_TOP)
    centre = 64 + scale * (np.array([-0.1, 0.1]) + start * BLOCK_STEP) * [1, -1]
    return (np.abs(POINTS - centre) < scale * np.array([0.1, 0.06]) - 1).all(-1)


def test_every_window_start_has_both_views_in_order(labeler):
    labelled = labeler.label(demo(), INFO)
    assert [(window.start, window.view) for window in labelled] == [
        (start, view) for start in (0, 8, 16) for view in ("side", "effector")
    ]
    assert {(window.task, window.demo, window.instruction) for window in labelled} == {("push", "demo_0", INSTRUCTION)}
    assert [window.num_real_frames for window in labelled] == [16, 16, 12, 12, 4, 4]


def test_a_track_starts_at_its_query_point(windows):
    for window in windows.values():
        np.testing.assert_array_equal(window.tracks[0], POINTS)


def test_the_block_moves_as_far_as_its_pose_says(windows):
    window = windows["side", 0]
    on_top = top_of_the_block(0)
    assert on_top.sum() > 50
    expected = STEPS[:, None] * BLOCK_STEP * [1, -1] * FOCAL / (SIDE_HEIGHT - BLOCK_TOP)
    offsets = (window.tracks - POINTS)[:, on_top]
    np.testing.assert_allclose(offsets, np.broadcast_to(expected[:, None], offsets.shape), atol=0.02)


def test_the_floor_stays(windows):
    window = windows["side", 0]
    beside = ~red_under_points(window.image) & (np.abs(POINTS - 64).max(-1) > 50)
    assert beside.sum() > 500
    offsets = (window.tracks - POINTS)[:, beside]
    np.testing.assert_allclose(offsets, np.zeros_like(offsets), atol=0.01)


def test_the_floor_passes_under_the_moving_camera(windows):
    window = windows["effector", 0]
    expected = -STEPS * HAND_STEP * FOCAL / EFFECTOR_HEIGHT
    np.testing.assert_allclose(
        window.tracks[..., 0] - POINTS[..., 0], np.broadcast_to(expected[:, None, None], (16, 64, 64)), atol=0.02
    )
    np.testing.assert_allclose(window.tracks[..., 1], np.broadcast_to(POINTS[..., 1], (16, 64, 64)), atol=0.02)


def test_points_that_leave_the_image_are_not_seen(windows):
    window = windows["effector", 0]
    inside = (window.tracks[..., 0] >= 0) & (window.tracks[..., 0] < 128)
    assert not inside[-1].all()
    np.testing.assert_array_equal(window.visibility, inside)


def test_the_block_hides_the_floor_it_slides_over(windows):
    """A floor point is hidden at the frames in which the block's picture is over it, and only then."""
    window, later = windows["side", 0], windows["side", 8]
    floor = ~red_under_points(window.image)
    covered = red_under_points(later.image) & floor
    assert covered.sum() > 10
    hidden = ~window.visibility[8] & floor
    assert (hidden & ~covered).sum() == 0
    # The depth test takes the farthest of four neighbours, so a rim of the covered points still counts as seen.
    assert hidden.sum() > 0.4 * covered.sum()


def test_the_picture_of_a_later_window_shows_the_block_where_the_tracks_carry_it(windows):
    """Orientation, pairing of image and state, and the projection: the block is where the tracks say, red and all."""
    window, later = windows["side", 0], windows["side", 8]
    on_top = top_of_the_block(0)
    column, row = np.floor(window.tracks[8][on_top]).astype(int).T
    assert is_red(window.image)[
        np.floor(POINTS[on_top][:, 1]).astype(int), np.floor(POINTS[on_top][:, 0]).astype(int)
    ].all()
    assert is_red(later.image)[row, column].all()
    assert not is_red(later.image)[::-1][row, column].all(), "an upside-down picture would have been noticed"


def test_after_the_end_the_last_frame_is_repeated(windows):
    tracks = windows["side", 16].tracks
    assert np.abs(tracks[3] - tracks[2]).max() > 0.5
    for late in tracks[4:]:
        np.testing.assert_array_equal(late, tracks[3])


def test_recorded_images_are_used_where_there_are_any(labeler):
    recorded = np.zeros((FRAMES - 1, 128, 128, 3), np.uint8)
    recorded[:] = np.arange(1, FRAMES)[:, None, None, None]
    labelled = labeler.label(demo(images={"side": recorded}), INFO)
    images = {(window.view, window.start): window.image for window in labelled}
    assert (images["side", 8] == 8).all() and (images["side", 16] == 16).all()
    assert is_red(images["side", 0]).any(), "the first state has no recorded image; it is rendered"
    assert images["effector", 8].max() > 20


def test_recorded_images_of_another_size_are_resized(labeler):
    recorded = np.full((FRAMES - 1, 256, 256, 3), 77, np.uint8)
    labelled = labeler.label(demo(images={"side": recorded}), INFO)
    image = next(window.image for window in labelled if (window.view, window.start) == ("side", 8))
    assert image.shape == (128, 128, 3) and (image == 77).all()


def test_going_from_scene_to_scene_and_back_changes_nothing(labeler, windows):
    other = (
        scene()
        .replace('rgba="1 0 0 1" emission', 'rgba="0 0 1 1" emission')
        .replace('<body name="hand"', '<geom type="box" size=".05 .05 .2" pos=".2 .2 0" group="1"/><body name="hand"')
    )
    second = labeler.label(demo(model_xml=other), INFO)
    assert not is_red(second[0].image).any()
    assert second[0].visibility[0].all()
    for window in labeler.label(demo(), INFO):
        first = windows[window.view, window.start]
        np.testing.assert_array_equal(window.image, first.image)
        np.testing.assert_array_equal(window.tracks, first.tracks)
        np.testing.assert_array_equal(window.visibility, first.visibility)


def test_two_frames_are_a_demo(labeler):
    labelled = labeler.label(demo(states(2)), replace(INFO, stride=1))
    assert [(window.start, window.num_real_frames) for window in labelled] == [(0, 2), (0, 2)]


@pytest.mark.parametrize("missing, named", [("states", "states"), ("model_xml", "model_file")])
def test_what_the_replay_needs_is_named_where_it_is_missing(labeler, missing, named):
    with pytest.raises(ValueError, match=f"push demo_0 lacks {named}.*point tracker"):
        labeler.label(replace(demo(), **{missing: None}), INFO)


def test_states_of_another_scene_are_refused(labeler):
    with pytest.raises(ValueError, match="a state has 15 values, the demo's model needs 16"):
        labeler.label(demo(states()[:, 1:]), INFO)


@pytest.mark.parametrize("model_xml", ["<mujoco", "<robot/>", "<mujoco/>"], ids=["cut", "urdf", "no cameras"])
def test_a_broken_scene_is_a_value_error_and_the_next_demo_is_labelled(labeler, model_xml):
    with pytest.raises(ValueError):
        labeler.label(demo(np.zeros((4, 1)), model_xml), INFO)
    assert len(labeler.label(demo(), INFO)) == 6


@pytest.mark.parametrize(
    "authors_folder, installed",
    [
        ("/home/author/workspace/libero-dev/chiliocosm/assets", libero_assets),
        ("/Users/author/robosuite-master/robosuite/models/assets", robosuite_assets),
    ],
    ids=["libero", "robosuite"],
)
def test_the_authors_paths_find_the_installed_assets(labeler, windows, authors_folder, installed):
    smallest = min(installed().rglob("textures/*.png"), key=lambda file: (file.stat().st_size, file))
    path = f"{authors_folder}/{smallest.relative_to(installed()).as_posix()}"
    labelled = labeler.label(demo(model_xml=scene(f'<texture name="t" type="2d" file="{path}"/>')), INFO)
    np.testing.assert_array_equal(labelled[0].tracks, windows["side", 0].tracks)


def test_an_asset_that_is_not_installed_is_named(labeler):
    with pytest.raises(ValueError, match=r"chiliocosm/assets/no_such\.png"):
        labeler.label(
            demo(model_xml=scene('<texture name="t" type="2d" file="/x/chiliocosm/assets/no_such.png"/>')), INFO
        )


@pytest.mark.parametrize(
    "frames, stride, expected", [(20, 8, [0, 8, 16]), (17, 8, [0, 8]), (2, 1, [0]), (1, 4, [0]), (5, 1, [0, 1, 2, 3])]
)
def test_window_starts(frames, stride, expected):
    assert list(window_starts(frames, stride)) == expected


def test_window_frames():
    assert window_frames(2, 10, 4) == ([2, 3, 4, 5], 4)
    assert window_frames(8, 10, 4) == ([8, 9, 9, 9], 2)
    assert window_frames(9, 10, 4) == ([9, 9, 9, 9], 1)


HISTORY = DatasetInfo(labeler="exact", stride=8, history_frames=6)


@pytest.fixture(scope="module")
def with_history(labeler):
    return {(window.view, window.start): window for window in labeler.label(demo(), HISTORY)}


def test_a_window_with_history_has_the_same_future(windows, with_history):
    for place, window in with_history.items():
        np.testing.assert_array_equal(window.tracks, windows[place].tracks)
        np.testing.assert_array_equal(window.visibility, windows[place].visibility)


def test_the_points_of_the_block_come_from_where_it_was(with_history):
    window = with_history["side", 8]
    assert window.history_tracks.shape == (6, 64, 64, 2) and window.history_visibility.shape == (6, 64, 64)
    on_top = top_of_the_block(8)
    steps = np.arange(-6, 0)  # oldest first, the present not among them
    expected = steps[:, None] * BLOCK_STEP * [1, -1] * FOCAL / (SIDE_HEIGHT - BLOCK_TOP)
    offsets = (window.history_tracks - POINTS)[:, on_top]
    np.testing.assert_allclose(offsets, np.broadcast_to(expected[:, None], offsets.shape), atol=0.02)
    assert window.history_visibility[:, on_top].all()


def test_before_the_demo_began_nothing_is_seen_and_the_first_frame_is_repeated(labeler, with_history):
    assert not with_history["side", 0].history_visibility.any()
    longer = {
        window.view: window
        for window in labeler.label(demo(), replace(HISTORY, history_frames=11))
        if window.start == 8
    }
    side = longer["side"]
    assert not side.history_visibility[:3].any() and side.history_visibility[3].any()
    for early in side.history_tracks[:3]:
        np.testing.assert_array_equal(early, side.history_tracks[3])
    np.testing.assert_array_equal(side.history_tracks[5:], with_history["side", 8].history_tracks)


def test_anchored_in_the_past_the_points_of_its_first_frame_ride_on(labeler, windows):
    info = replace(HISTORY, history_frames=8, anchor="first")
    labelled = {(window.view, window.start): window for window in labeler.label(demo(), info)}
    window, before = labelled["side", 8], windows["side", 0]
    whole = np.concatenate([window.history_tracks, window.tracks[:8]])
    np.testing.assert_array_equal(whole, before.tracks)
    np.testing.assert_array_equal(np.concatenate([window.history_visibility, window.visibility[:8]]), before.visibility)
    first = labelled["side", 0]
    np.testing.assert_array_equal(first.tracks, before.tracks)
    assert not first.history_visibility.any()


def test_the_pictures_between_windows_are_recorded_or_rendered(labeler, windows):
    info = replace(HISTORY, history_frames=3, history_pictures=True)
    labelled = {(window.view, window.start): window for window in labeler.label(demo(), info)}
    assert [len(labelled["side", start].pictures_between) for start in (0, 8, 16)] == [0, 3, 3]
    rendered = {
        window.start: window.image for window in labeler.label(demo(), replace(INFO, stride=1)) if window.view == "side"
    }
    for picture, frame in zip(labelled["side", 8].pictures_between, (5, 6, 7), strict=True):
        np.testing.assert_array_equal(picture, rendered[frame])


def test_between_points_far_apart_what_passes_hides_them(labeler):
    """A wide picture with points 8 pixels apart, while the block is a few of those wide."""
    size, grid = (96, 128), (12, 16)
    info = DatasetInfo(labeler="exact", stride=100, image_size=size, grid=grid)
    window = labeler.label(demo(), info)[0]
    points = query_points(grid, size)
    assert window.image.shape == (*size, 3) and window.tracks.shape == (16, *grid, 2)
    np.testing.assert_array_equal(window.tracks[0], points)
    scale = focal_length(FOVY, size[0]) / (SIDE_HEIGHT - BLOCK_TOP)

    def under_the_block(frame: int, margin: float) -> np.ndarray:
        centre = np.array([64, 48]) + scale * (np.array([-0.1, 0.1]) + frame * BLOCK_STEP) * [1, -1]
        return (np.abs(points - centre) < scale * np.array([0.1, 0.06]) + margin).all(-1)

    on_floor = ~under_the_block(0, margin=3)
    hidden = on_floor & under_the_block(15, margin=-2)
    assert hidden.sum() >= 2 and not window.visibility[15, hidden].any()
    beside = on_floor & ~under_the_block(15, margin=8)
    assert window.visibility[15, beside].all()
    moved = (window.tracks[15] - points)[under_the_block(0, margin=-2)]
    np.testing.assert_allclose(moved, np.broadcast_to(15 * BLOCK_STEP * [1, -1] * scale, moved.shape), atol=0.02)
