"""A forecast some steps later, told of the new picture's grid."""

import numpy as np
import pytest

from trajforecast_model.tracks.extrapolation import steps_ahead
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.moving_on import moved_on

GRID, SIZE, FRAMES = (16, 16), (128, 128), 8
POINTS = query_points(GRID, SIZE)
TIMES = np.arange(FRAMES, dtype=np.float32)[:, None, None, None]


def still() -> np.ndarray:
    return np.repeat(POINTS[None], FRAMES, axis=0)


def test_what_stands_still_stays_a_grid():
    np.testing.assert_allclose(moved_on(still()[None], 2.5, SIZE)[0], still(), atol=1e-4)


@pytest.mark.parametrize("steps", [1, 3, 2.5])
def test_a_camera_that_pans_shows_the_same_motion_everywhere_and_beyond_the_horizon_a_slower_one(steps):
    velocity = np.float32([3.0, -1.0])
    result = moved_on((POINTS + TIMES * velocity)[None], steps, SIZE)[0]
    np.testing.assert_allclose(result[0], POINTS, atol=1e-4)
    known = FRAMES - int(np.ceil(steps))
    np.testing.assert_allclose(
        (result - POINTS)[:known], np.broadcast_to(TIMES * velocity, result.shape)[:known], atol=1e-3
    )
    last = (result - POINTS)[-1, 8, 8]
    until_the_horizon = FRAMES - 1 - steps
    beyond = np.interp(steps, np.arange(FRAMES), steps_ahead(FRAMES, 0.93))
    np.testing.assert_allclose(last, velocity * (until_the_horizon + beyond), rtol=1e-3)


def test_a_thing_that_moves_is_found_where_it_is_by_then_and_in_front():
    tracks = still()
    tracks[:, 4:8, 2:6] += TIMES * np.float32([8.0, 0.0])  # a cell a step, over points that stand still
    result = moved_on(tracks[None], 3, SIZE)[0]
    moving = np.linalg.norm(result[-1] - result[0], axis=-1) > 1
    expected = np.zeros(GRID, bool)
    expected[4:8, 5:9] = True
    assert (moving[:, 5:] == expected[:, 5:]).all()


def test_a_gripper_that_the_camera_carries_along_is_in_front_of_what_moves():
    tracks = POINTS + TIMES * np.float32([0.0, 8.0])
    tracks[:, 10:, 6:10] = POINTS[10:, 6:10]
    result = moved_on(tracks.astype(np.float32)[None], 2, SIZE)[0]
    still_there = np.linalg.norm(result[-1] - result[0], axis=-1) < 1
    assert still_there[10:, 6:10].all() and not still_there[:10].any()


def test_samples_are_moved_on_by_themselves():
    left, right = POINTS + TIMES * np.float32([-2, 0]), POINTS + TIMES * np.float32([2, 0])
    both = moved_on(np.stack([left, right]), 2, SIZE)
    for sample, alone in zip(both, (left, right), strict=True):
        np.testing.assert_array_equal(sample, moved_on(alone[None], 2, SIZE)[0])


def test_a_forecast_in_which_all_leaves_the_picture_can_be_moved_on():
    result = moved_on((POINTS + TIMES * np.float32([300, 0]))[None], 2, SIZE)
    assert np.isfinite(result).all() and np.array_equal(result[0, 0], POINTS)
