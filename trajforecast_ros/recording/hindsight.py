"""How recorded forecasts compare with what then really happened, on the points that moved."""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.data.episode import Episode
from trajforecast_model.evaluation.metrics import mean_t, min_error
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import moving_points
from trajforecast_ros.recording.recording import RecordedForecast

# The paper's errors are squared pixels of a 128-pixel image, so ours are too.
PAPER_IMAGE_SIZE = (128, 128)


@dataclass(frozen=True)
class ViewErrors:
    """Squared pixels at 128 px, x and y summed, averaged over moving points and then over forecasts."""

    view: str
    forecasts: int  # that could be scored: their 16 frames lie within the episode and something moves in them
    nothing_moves: float
    mean_t: float
    min: float


def score(episode: Episode, start_stamp: int, forecasts: list[RecordedForecast]) -> list[ViewErrors]:
    """The errors of each view.

    Args:
        start_stamp: stamp of the episode's first frame, nanoseconds.
    """
    errors = []
    for view, frames in episode.frames.items():
        rows = []
        for forecast in forecasts:
            start = round((forecast.stamp - start_stamp) / 1e9 / episode.dt)
            if view not in forecast.views or start + forecast.tracks.shape[2] > len(frames):
                continue
            row = _window_errors(episode, view, start, forecast.tracks[forecast.views.index(view)])
            if row is not None:
                rows.append(row)
        means = np.mean(rows, axis=0) if rows else [np.nan] * 3
        errors.append(ViewErrors(view, len(rows), *(float(value) for value in means)))
    return errors


def _window_errors(episode: Episode, view: str, start: int, samples: np.ndarray) -> tuple[float, float, float] | None:
    """Nothing moves, MeanT and Min of one forecast [k, T, H, W, 2]; None where nothing moved."""
    truth, _ = episode.truth(view, start)
    size = episode.frames[view].shape[1:3]
    truth, samples = (rescale(tracks, size, PAPER_IMAGE_SIZE) for tracks in (truth, samples))
    moved = moving_points(truth)
    if not moved.any():
        return None
    truth, samples = truth[:, moved], samples[:, :, moved]  # [T, P, 2], [k, T, P, 2]
    still = np.broadcast_to(truth[:1], truth.shape)[None]
    return mean_t(still, truth), mean_t(samples, truth), min_error(samples, truth)
