"""What a policy is told of a forecast, and how its chunks become actions."""

import numpy as np
import pytest

from trajforecast_model.policy.chunks import BlendedChunks
from trajforecast_model.policy.tracks import ATM_POINTS, TrackInputConfig, told_tracks
from trajforecast_model.tracks.grid import query_points

SIZE = (128, 128)


def moving(speed: np.ndarray) -> np.ndarray:
    """[16, 64, 64, 2]: every point at its own speed [64, 64, 2] in pixels a step."""
    return query_points((64, 64), SIZE) + np.arange(16)[:, None, None, None] * speed


def test_a_cell_is_told_the_mean_of_its_points():
    speed = np.zeros((64, 64, 2))
    speed[8:16, :8] = (1.0, 0.0)  # the second row's first cell
    speed[56:, 56:60] = (0.0, -2.0)  # half of the last cell
    told = told_tracks(moving(speed), moving(2 * speed), SIZE, TrackInputConfig())
    told = told.reshape(64, 2, 5, 2)  # points, futures, steps, xy
    np.testing.assert_allclose(told[8, :, 4], [[15 / 16, 0], [30 / 16, 0]])
    np.testing.assert_allclose(told[63, 0, :, 1], -np.array([3, 6, 9, 12, 15]) / 16)
    assert not told[:8].any()


def test_pixels_of_a_larger_picture_tell_the_same():
    speed = np.random.default_rng(0).normal(size=(64, 64, 2))
    small = told_tracks(moving(speed), moving(speed), SIZE, TrackInputConfig())
    large = moving(speed) * (5, 3)  # x, y
    np.testing.assert_allclose(told_tracks(large, large, (384, 640), TrackInputConfig()), small, atol=1e-5)


def test_atm_s_points_are_interpolated():
    y, x = np.mgrid[:64, :64] / 64 + 0.5 / 64 + 0.25 / 64 * 0  # where the grid's points are, 0 to 1
    speed = np.stack([x, 2 * y], -1)  # linear, so that interpolation is exact
    told = told_tracks(moving(speed), moving(speed), SIZE, TrackInputConfig(points="atm", futures="mean"))
    np.testing.assert_allclose(told.reshape(32, 5, 2)[:, 4], ATM_POINTS * (1, 2) * 15 / 16, atol=1e-5)


@pytest.mark.parametrize("futures", ["medoid", "mean"])
def test_one_future_can_be_told_alone(futures):
    still, gone = moving(np.zeros((64, 64, 2))), moving(np.ones((64, 64, 2)))
    told = told_tracks(still, gone, SIZE, TrackInputConfig(futures=futures))
    assert told.shape == (64, 10) and told.any() == (futures == "mean")


def chunk(value: float) -> np.ndarray:
    return np.full((4, 7), value)


def test_chunks_are_blended_where_they_overlap():
    chunks = BlendedChunks(blend=0.5)
    assert chunks.action(0) is None
    chunks.add(0, chunk(0.1))
    chunks.add(2, chunk(0.4))
    np.testing.assert_allclose(chunks.action(1)[:6], 0.1)
    np.testing.assert_allclose(chunks.action(2)[:6], (0.1 * 0.5 + 0.4) / 1.5)
    np.testing.assert_allclose(chunks.action(4)[:6], 0.4)
    assert chunks.action(6) is None, "beyond the end of the last chunk nothing is said"


def test_the_newest_alone_without_blending():
    chunks = BlendedChunks(blend=0.0)
    chunks.add(0, chunk(0.1))
    chunks.add(2, chunk(0.4))
    np.testing.assert_allclose(chunks.action(2)[:6], 0.4)


def test_fingers_open_or_close_and_actions_keep_their_range():
    chunks = BlendedChunks(blend=0.5)
    chunks.add(0, chunk(1.7))
    assert (chunks.action(0) == 1).all()
    chunks.add(0, chunk(-0.9))
    assert chunks.action(0)[6] == -1, "0.5 * 1.7 - 0.9 is below zero"
