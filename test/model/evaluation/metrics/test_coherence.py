"""The distance of consecutive forecasts, where both tell of the same points at the same times."""

import numpy as np
import pytest

from trajforecast_model.evaluation.metrics.coherence import temporal_coherence
from trajforecast_model.tracks.grid import query_points

GRID, SIZE, FRAMES, STEPS = (8, 12), (64, 96), 7, 3
POINTS = query_points(GRID, SIZE)
TIMES = np.arange(FRAMES, dtype=np.float32)[:, None, None, None]
MIDDLE = np.arange(8 * 12).reshape(GRID)[3:5, 4:8].ravel()  # points that stay in the picture


def test_one_motion_told_twice_is_coherent():
    tracks = POINTS + TIMES * np.float32([1.5, -0.7])  # the same from wherever it begins
    assert temporal_coherence(tracks, tracks, MIDDLE, STEPS, SIZE) == pytest.approx(0, abs=1e-9)


def test_a_motion_is_read_between_the_points():
    centre = np.float32([40, 30])
    later = POINTS + 0.03 * TIMES * (POINTS - centre)  # linear in the place
    begins = POINTS + np.float32([2.3, 1.1])  # between the points
    earlier = np.concatenate(
        [np.repeat(POINTS[None], STEPS, 0), begins + 0.03 * TIMES[: FRAMES - STEPS] * (begins - centre)]
    )
    assert temporal_coherence(earlier, later, MIDDLE, STEPS, SIZE) == pytest.approx(0, abs=1e-6)


def test_the_distance_is_the_mean_square_over_the_common_time():
    earlier, later = POINTS + TIMES * np.float32([1, 0]), POINTS + TIMES * np.float32([1, 2])
    expected = np.mean([(2 * t) ** 2 for t in range(1, FRAMES - STEPS)])
    assert temporal_coherence(earlier, later, MIDDLE, STEPS, SIZE) == pytest.approx(expected)


def test_what_leaves_the_picture_does_not_count():
    earlier = POINTS + TIMES * np.float32([1, 0])
    later = earlier + (POINTS[..., :1] > 90) * TIMES**2  # another motion at the right border
    last_column = np.arange(8 * 12).reshape(GRID)[:, -1]
    assert temporal_coherence(earlier + TIMES * np.float32([9, 0]), later, last_column, STEPS, SIZE) is None
    both = np.concatenate([last_column, MIDDLE])
    far = earlier + TIMES * np.float32([9, 0]) * (POINTS[..., :1] > 90)
    assert temporal_coherence(far, later, both, STEPS, SIZE) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("steps", [0, FRAMES - 1])
def test_forecasts_without_a_common_time_are_refused(steps):
    tracks = POINTS + TIMES * np.float32([1, 0])
    with pytest.raises(ValueError, match=f"steps: got {steps}, expected 1 to {FRAMES - 2}"):
        temporal_coherence(tracks, tracks, MIDDLE, steps, SIZE)
