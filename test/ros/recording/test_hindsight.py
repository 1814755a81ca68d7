"""Errors of hand-made forecasts, known on paper."""

import numpy as np
import pytest
from small_episode import FRAMES, PIXELS_PER_FRAME, small_episode

from trajforecast_ros.recording.hindsight import score
from trajforecast_ros.recording.recording import RecordedForecast

START_STAMP = 7_000_000_000


def forecast(start: int, offsets: list[tuple[float, float]]) -> RecordedForecast:
    """One sample for each offset: what really happens, moved by so many pixels of the 32-pixel frame."""
    episode = small_episode()
    truth = np.stack([episode.truth(view, start)[0] for view in episode.frames])
    tracks = np.stack([truth + np.array(offset, np.float32) for offset in offsets], axis=1)
    stamp = START_STAMP + round(start * episode.dt * 1e9)
    return RecordedForecast(stamp, tuple(episode.frames), tracks, tracks.mean(1), tracks[:, 0], "", "", 0.0, 0.0)


def test_a_perfect_forecast():
    side, effector = score(small_episode(), START_STAMP, [forecast(0, [(0, 0)]), forecast(2, [(0, 0)])])

    assert (side.forecasts, effector.forecasts) == (2, 2)
    assert side.mean_t == pytest.approx(0, abs=1e-6)
    assert side.min == pytest.approx(0, abs=1e-6)
    assert side.nothing_moves == pytest.approx(np.mean((np.arange(16) * PIXELS_PER_FRAME) ** 2), rel=1e-3)


def test_samples_that_are_off_in_opposite_directions():
    """MeanT is 0 since they cancel; Min is the square of one of them: 1 px of 32 is 4 px of 128."""
    [side, _] = score(small_episode(), START_STAMP, [forecast(1, [(1, 0), (-1, 0)])])

    assert side.mean_t == pytest.approx(0, abs=1e-4)
    assert side.min == pytest.approx(16, rel=1e-3)


def test_forecasts_that_outlast_the_episode_are_left_out():
    beyond = RecordedForecast(
        START_STAMP + round((FRAMES - 10) * 0.05e9), *[getattr(forecast(0, [(0, 0)]), n) for n in _OTHERS]
    )
    [side, _] = score(small_episode(), START_STAMP, [beyond])

    assert side.forecasts == 0
    assert np.isnan(side.mean_t)


_OTHERS = ("views", "tracks", "mean_t", "min", "instruction", "model_id", "compute_time", "latency")
