"""Points carried by dense flow through made-up videos whose motion is known."""

import cv2
import numpy as np
import pytest

from trajforecast_model.tracks.dense_flow import DenseTracker
from trajforecast_model.tracks.grid import query_points

SIZE, FRAMES = (96, 128), 8


def texture(size, seed, coarse=6) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (size[0] // coarse, size[1] // coarse), dtype=np.uint8)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def carried(frames, points) -> np.ndarray:
    tracker = DenseTracker(frames[0], points)
    for frame in frames[1:]:
        tracker.update(frame)
    return tracker.points


def test_a_camera_that_moves_carries_all_points_and_loses_none():
    large, speed = texture((300, 400), 0), np.array([2.3, -1.2])
    moves = [np.array([[1, 0, 100 - speed[0] * t], [0, 1, 80 - speed[1] * t]], np.float32) for t in range(FRAMES)]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    frames = np.stack([cv2.warpAffine(large, move, SIZE[::-1], flags=flags) for move in moves])
    points = query_points((24, 32), SIZE).reshape(-1, 2)
    truth = points + (FRAMES - 1) * speed
    inside = ((truth >= 4) & (truth < np.array(SIZE[::-1]) - 4)).all(-1)
    error = np.linalg.norm(carried(frames, points) - truth, axis=-1)
    assert error[inside].max() < 1 and np.median(error[inside]) < 0.2 and error.max() < 7


def test_a_still_video_moves_nothing():
    points = query_points((12, 16), SIZE).reshape(-1, 2)
    assert np.abs(carried(np.tile(texture(SIZE, 4), (4, 1, 1)), points) - points).max() < 1e-2


def test_more_points_than_opencv_reads_at_once_are_all_carried():
    frames = np.stack([np.roll(texture(SIZE, 5), t, axis=1) for t in range(2)])
    few = query_points((12, 16), SIZE).reshape(-1, 2)
    many = np.tile(few, (200, 1))
    assert len(many) > 2**15
    np.testing.assert_allclose(carried(frames, many), np.tile(carried(frames, few), (200, 1)))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (16, 16), (31, 200)])
def test_tiny_images_and_no_points(size):
    frames = np.zeros((3, *size), np.uint8)
    for points in (np.array([[0.5, 0.5]]), np.zeros((0, 2))):
        tracked = carried(frames, points)
        assert tracked.shape == points.shape and np.isfinite(tracked).all()


def test_a_frame_of_another_size_is_refused():
    tracker = DenseTracker(np.zeros((20, 30), np.uint8), np.array([[5.0, 5.0]]))
    with pytest.raises(ValueError, match=r"\(20, 30\).*\(30, 20\)"):
        tracker.update(np.zeros((30, 20), np.uint8))
