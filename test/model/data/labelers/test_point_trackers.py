"""Every point tracker keeps to one interface, whatever the package behind it wants."""

import cv2
import numpy as np
import pytest

from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
from trajforecast_model.data.labelers.trackers.lucas_kanade import carried_by_neighbours
from trajforecast_model.data.labelers.trackers.registry import make_point_tracker

SHIFT = np.array([1.25, -0.75])  # pixels a frame


def sliding_texture(frames: int = 6, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    texture = cv2.resize(noise, (200, 160), interpolation=cv2.INTER_CUBIC)
    matrices = [np.array([[1, 0, 40 - t * SHIFT[0]], [0, 1, 40 - t * SHIFT[1]]]) for t in range(frames)]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(texture, matrix, size[::-1], flags=flags) for matrix in matrices])


def test_lucas_kanade_follows_a_sliding_texture():
    points = np.stack(np.meshgrid(np.arange(25, 70, 2.5), np.arange(20, 50, 2.5)), -1).reshape(-1, 2).astype(np.float32)
    tracks, visible = make_point_tracker("lucas_kanade").track(sliding_texture(), points)

    assert tracks.dtype == np.float32 and visible.dtype == bool
    np.testing.assert_array_equal(tracks[0], points)
    assert visible.all()
    error = tracks - (points + np.arange(6)[:, None, None] * SHIFT)
    assert np.abs(np.median(error, axis=1)).max() < 0.05, "half a pixel off would be seen"
    assert np.percentile(np.abs(error), 95) < 0.5


def test_points_on_a_plain_surface_go_with_their_neighbours_and_are_seen():
    """Nothing can be matched inside of the square, and its texture around it moves on."""
    video = sliding_texture()
    for t, frame in enumerate(video):
        left, top = np.round(np.array([40, 24]) + t * SHIFT).astype(int)
        frame[top : top + 16, left : left + 16] = 128
    points = np.array([[48.0, 32.0]])
    grid = np.stack(np.meshgrid(np.arange(34, 64, 3.0), np.arange(18, 48, 3.0)), -1).reshape(-1, 2)
    tracks, visible = make_point_tracker("lucas_kanade").track(video, np.concatenate([points, grid]).astype(np.float32))

    np.testing.assert_allclose(tracks[-1, 0], points[0] + 5 * SHIFT, atol=0.6)
    assert visible[:, 0].all()


def test_a_covered_point_is_not_seen():
    video = np.repeat(sliding_texture()[:1], 6, axis=0)
    video[3:, 20:44, 40:64] = [250, 20, 250]
    _, visible = make_point_tracker("lucas_kanade").track(video, np.array([[52.0, 32.0], [20.0, 50.0]], np.float32))
    assert visible[:3].all() and visible[3:, 1].all()
    assert not visible[3:, 0].any()


def test_carried_points_make_the_median_step_of_the_nearest_and_stay_where_there_is_none():
    still, right = np.zeros((3, 20, 2)), np.tile(np.arange(3)[:, None, None] * [2.0, 0], (1, 20, 1))
    still[..., 0] += 50 + np.arange(20)
    right[..., 0] += np.arange(20)
    tracks = np.concatenate([right, still], axis=1).astype(np.float32)
    followed = np.ones((3, 40), bool)
    followed[1:, [3, 30]] = False  # one on what moves, one on what stands
    lost = tracks.copy()
    lost[1:, [3, 30]] = tracks[0, [3, 30]]
    np.testing.assert_allclose(carried_by_neighbours(lost, followed), tracks)

    followed[2] = False
    np.testing.assert_allclose(carried_by_neighbours(lost, followed)[2, 3], tracks[1, 3])


@pytest.mark.parametrize("frames, points", [(1, 3), (4, 0), (1, 0)])
def test_a_single_frame_and_no_points(frames, points):
    tracks, visible = make_point_tracker("lucas_kanade").track(
        sliding_texture(frames), np.full((points, 2), 9, np.float32)
    )
    assert tracks.shape == (frames, points, 2) and visible.shape == (frames, points)


def test_an_unknown_tracker_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown point tracker 'lk'; known ones: lucas_kanade"):
        make_point_tracker("lk")


def test_lucas_kanade_takes_no_weights(tmp_path):
    with pytest.raises(ValueError, match="neither a checkout nor weights"):
        make_point_tracker("lucas_kanade", TrackerOptions(weights=tmp_path / "w.pt"))


@pytest.mark.parametrize(
    "video, points, message",
    [
        (np.zeros((4, 8, 8), np.uint8), np.zeros((1, 2), np.float32), r"video: expected uint8 \[T, H, W, 3\]"),
        (np.zeros((4, 8, 8, 3), np.float32), np.zeros((1, 2), np.float32), "got float32"),
        (np.zeros((4, 8, 8, 3), np.uint8), np.zeros((1, 3), np.float32), r"points: expected finite pixels \[N, 2\]"),
        (np.zeros((4, 8, 8, 3), np.uint8), np.full((1, 2), np.nan, np.float32), "points: expected finite"),
    ],
)
def test_other_shapes_and_types_are_refused(video, points, message):
    with pytest.raises(ValueError, match=message):
        make_point_tracker("lucas_kanade").track(video, points)
