"""Points followed through made-up videos whose motion is known."""

import cv2
import numpy as np
import pytest

from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.optical_flow import PointTracker, follow

SIZE = (96, 128)
FRAMES = 8


def texture() -> np.ndarray:
    """A picture with something to see everywhere, larger than the frames."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    return cv2.resize(noise, (400, 320), interpolation=cv2.INTER_CUBIC)


def video(matrices: list[np.ndarray]) -> np.ndarray:
    """The texture under maps from frame pixels (corner origin) to its own."""
    # OpenCV counts from the centre of the first pixel.
    to_corner, to_centre = (np.array([[1, 0, d], [0, 1, d], [0, 0, 1]]) for d in (0.5, -0.5))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack(
        [cv2.warpAffine(texture(), (to_centre @ m @ to_corner)[:2], SIZE[::-1], flags=flags) for m in matrices]
    )


def shifted(dx: float, dy: float) -> np.ndarray:
    return np.array([[1, 0, 120 - dx], [0, 1, 100 - dy], [0, 0, 1.0]])


def inner_points(margin: float = 20) -> np.ndarray:
    points = query_points((24, 32), SIZE).reshape(-1, 2)
    inside = (points > margin).all(1) & (points < np.array(SIZE[::-1]) - margin).all(1)
    return points[inside]


def test_a_shift_is_followed_to_a_fraction_of_a_pixel():
    frames = video([shifted(1.3 * t, -0.7 * t) for t in range(FRAMES)])
    points = inner_points()
    tracks, found = follow(frames, points)

    expected = points + np.arange(FRAMES)[:, None, None] * np.array([1.3, -0.7])
    assert tracks.dtype == np.float32 and found.all()
    error = np.abs(tracks - expected)
    assert np.median(error) < 0.06 and np.percentile(error, 99) < 0.5


def test_a_zoom_about_a_corner_has_that_corner_at_zero():
    """A half-pixel mistake in the origin would move every point by 0.15 pixels at a zoom of 1.3."""

    def zoomed(factor: float) -> np.ndarray:
        return np.array([[1 / factor, 0, 100], [0, 1 / factor, 80], [0, 0, 1.0]])

    factors = np.linspace(1, 1.3, FRAMES)
    points = inner_points(margin=8)
    tracks, found = follow(video([zoomed(factor) for factor in factors]), points)

    expected = points * factors[:, None, None]
    error = (tracks[-1] - expected[-1])[found[-1]]
    assert found[-1].mean() > 0.5
    assert np.abs(np.median(error, axis=0)).max() < 0.06, np.median(error, axis=0)


def test_what_is_covered_is_lost_and_stays_lost():
    frames = video([shifted(0, 0)] * 4)
    frames[2, 30:60, 40:80] = np.random.default_rng(1).integers(0, 256, (30, 40, 3))
    points = np.array([[60.0, 45.0], [20.0, 80.0]])
    _, found = follow(frames, points)

    assert found[:, 0].tolist() == [True, True, False, False]
    assert found[:, 1].all()


def test_what_leaves_the_image_is_lost():
    frames = video([shifted(-6 * t, 0) for t in range(FRAMES)])
    _, found = follow(frames, np.array([[12.0, 48.0], [110.0, 48.0]]))

    assert found[-1].tolist() == [False, True]


def test_a_still_video_moves_nothing():
    tracks, found = follow(video([shifted(0, 0)] * 3), inner_points())
    assert found.all() and np.abs(tracks - tracks[:1]).max() < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (16, 16)])
def test_tiny_images_and_no_points(size):
    frames = np.zeros((3, *size, 3), np.uint8)
    tracks, found = follow(frames, np.array([[0.5, 0.5]]))
    assert tracks.shape == (3, 1, 2) and found.shape == (3, 1)
    tracks, found = follow(frames, np.zeros((0, 2)))
    assert tracks.shape == (3, 0, 2) and found.shape == (3, 0)


def test_a_frame_of_another_size_is_refused():
    tracker = PointTracker(np.zeros((20, 30, 3), np.uint8), np.array([[5.0, 5.0]]))
    with pytest.raises(ValueError, match=r"\(20, 30\).*\(30, 20\)"):
        tracker.update(np.zeros((30, 20, 3), np.uint8))
