"""Windows from a point tracker: real frames at their numbers, the end repeated, the motion in them found."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.kinds import LABELERS, check_labeler, make_labeler, num_windows
from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.tracks.grid import query_points

INFO = DatasetInfo(labeler="lucas_kanade", stride=4, num_frames=6, grid=(16, 16))
POINTS = query_points(INFO.grid, INFO.image_size)
SHIFT = np.array([2, 1])  # pixels a frame, in images of the dataset's size


def sliding_texture(frames: int, scale: int = 1) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    video = []
    for frame in range(frames):
        x, y = 60 - frame * SHIFT
        image = texture[y : y + 128, x : x + 128]
        video.append(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST))
    return np.stack(video)


def demo(frames: int = 9, first: int = 0, scale: int = 1) -> Demo:
    """A demo whose images start at frame `first`. The effector's stand still."""
    side = sliding_texture(frames, scale)
    views = {"side": side, "effector": np.broadcast_to(side[:1], side.shape)}
    images = {view: {number: video[number] for number in range(first, frames)} for view, video in views.items()}
    return Demo("slide", "0", "slide it", frames, 20.0, images)


@pytest.fixture(scope="module")
def labeler():
    return make_labeler("lucas_kanade", TrackerOptions())


@pytest.fixture(scope="module")
def windows(labeler):
    return {(window.view, window.start): window for window in labeler.label(demo(), INFO)}


def inner(tracks: np.ndarray) -> np.ndarray:
    """Of points that stay well inside of the image."""
    return tracks[:, 3:12, 3:12]


def test_windows_are_in_order_of_start_and_view(windows):
    assert list(windows) == [(view, start) for start in (0, 4) for view in ("side", "effector")]
    assert [window.num_real_frames for window in windows.values()] == [6, 6, 5, 5]
    window = windows["side", 4]
    assert (window.task, window.demo, window.instruction) == ("slide", "0", "slide it")
    assert window.tracks.shape == (6, 16, 16, 2) and window.tracks.dtype == np.float32
    assert window.visibility.shape == (6, 16, 16) and window.visibility.dtype == bool


def test_the_image_is_that_of_the_first_frame(windows):
    np.testing.assert_array_equal(windows["side", 4].image, sliding_texture(5)[4])


@pytest.mark.parametrize("start", [0, 4])
def test_tracks_follow_what_moves_from_the_grid_of_the_first_frame(windows, start):
    window = windows["side", start]
    np.testing.assert_array_equal(window.tracks[0], POINTS)
    moved = inner(window.tracks - POINTS)[: window.num_real_frames]
    steps = np.arange(window.num_real_frames)[:, None, None, None]
    assert np.abs(moved - steps * SHIFT).mean() < 0.2
    assert inner(window.visibility).mean() > 0.9
    assert np.abs(inner(windows["effector", start].tracks - POINTS)).max() < 0.1


def test_after_the_end_the_last_frame_is_repeated(windows):
    window = windows["side", 4]
    assert np.abs(np.diff(inner(window.tracks[3:5]), axis=0)).mean() > 0.5
    np.testing.assert_array_equal(window.tracks[5], window.tracks[4])
    np.testing.assert_array_equal(window.visibility[5], window.visibility[4])


def test_larger_images_are_shrunk_first(labeler, windows):
    labelled = labeler.label(demo(scale=2), INFO)
    for window in labelled:
        np.testing.assert_allclose(window.tracks, windows[window.view, window.start].tracks, atol=0.01)


def test_a_video_shorter_than_a_window_is_one_window_or_a_few(labeler):
    labelled = labeler.label(demo(3), replace(INFO, stride=1))
    assert [(window.start, window.num_real_frames) for window in labelled] == [(0, 3), (0, 3), (1, 2), (1, 2)]


def test_a_first_frame_without_an_image_starts_no_window(labeler, windows):
    """As in LIBERO's files. The other windows keep their numbers."""
    labelled = labeler.label(demo(first=1), INFO)
    assert [(window.view, window.start) for window in labelled] == [("side", 4), ("effector", 4)]
    np.testing.assert_array_equal(labelled[0].tracks, windows["side", 4].tracks)


@pytest.mark.parametrize("images", [{}, {"side": {}}, {"side": {0: 0, 2: 0}}], ids=["none", "no views", "a gap"])
def test_without_images_there_is_nothing_to_track(labeler, images):
    with pytest.raises(ValueError, match=r"slide 0 has .* images of the view side .*--labeler exact"):
        labeler.label(replace(demo(3), images=images), INFO)


def test_the_number_of_windows_is_known_without_labelling(labeler):
    for made in (demo(9), demo(9, first=1), demo(2), demo(6)):
        first = min(made.images["side"])
        assert num_windows("lucas_kanade", made.num_frames, first, INFO) == len(labeler.label(made, INFO))
    assert num_windows("exact", 9, None, INFO) == 4 and num_windows("lucas_kanade", 9, None, INFO) == 0


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("guess", TrackerOptions(), "known labelers: exact, lucas_kanade"),
        ("atm", TrackerOptions(), "scattered points queried at random frames.*point tracker"),
        ("exact", TrackerOptions(weights="w.pt"), "exact.*leave them out"),
        ("lucas_kanade", TrackerOptions(device="cuda"), "lucas_kanade.*nor a device; leave them out"),
    ],
)
def test_what_is_no_labeler_is_refused(name, options, said):
    with pytest.raises(ValueError, match=said):
        check_labeler(name, options)


def test_every_point_tracker_is_a_labeler():
    assert set(LABELERS) >= {"exact", "lucas_kanade", "alltracker", "tapnext", "cotracker3"}


def test_points_are_followed_back_into_the_frames_before_the_window(labeler, windows):
    info = replace(INFO, history_frames=5)
    labelled = {(window.view, window.start): window for window in labeler.label(demo(), info)}
    window = labelled["side", 4]
    np.testing.assert_array_equal(window.tracks, windows["side", 4].tracks)
    assert not window.history_visibility[0].any(), "there are four frames before the fourth"
    steps = np.arange(-4, 0)[:, None, None, None]
    assert np.abs(inner(window.history_tracks - POINTS)[1:] - steps * SHIFT).mean() < 0.2
    assert inner(window.history_visibility[1:]).mean() > 0.9
    assert not labelled["side", 0].history_visibility.any()
    np.testing.assert_array_equal(labelled["side", 0].history_tracks[0], POINTS)


def test_anchored_in_the_past_the_points_of_its_first_frame_are_followed_forward(labeler):
    info = replace(INFO, history_frames=5, anchor="first")
    labelled = {(window.view, window.start): window for window in labeler.label(demo(first=1), info)}
    assert list(labelled) == [("side", 4), ("effector", 4)]
    window = labelled["side", 4]
    assert not window.history_visibility[:2].any(), "there are three frames before the fourth"
    np.testing.assert_array_equal(window.history_tracks[:3], np.broadcast_to(POINTS, (3, *POINTS.shape)))
    followed = np.concatenate([window.history_tracks[2:], window.tracks])
    steps = np.minimum(np.arange(9), 7)[:, None, None, None]  # the demo ends with frame 8
    assert np.abs(inner(followed - POINTS) - steps * SHIFT).mean() < 0.3
    assert window.num_real_frames == 5 and inner(window.visibility).mean() > 0.8


@pytest.mark.parametrize("anchor", ["present", "first"])
def test_the_pictures_between_windows_go_with_them(labeler, anchor):
    info = replace(INFO, history_frames=5, history_pictures=True, anchor=anchor)
    shown = demo(first=2)
    labelled = [window for window in labeler.label(shown, info) if window.view == "side"]
    assert [window.start for window in labelled] == [4]
    for picture, frame in zip(labelled[0].pictures_between, (2, 3), strict=True):
        np.testing.assert_array_equal(picture, shown.images["side"][frame])
