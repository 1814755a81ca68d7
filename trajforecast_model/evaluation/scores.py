"""What is measured on one window of the LIBERO protocol."""

from dataclasses import dataclass, field, replace

import numpy as np

from trajforecast_model.evaluation.forecasters.extrapolations import EXTRAPOLATIONS, extrapolated_at
from trajforecast_model.evaluation.forecasters.points import PointForecast
from trajforecast_model.evaluation.metrics.calibration import TrackCalibration, track_calibration
from trajforecast_model.evaluation.metrics.errors import ade, fde, nothing_moves_error, squared_error
from trajforecast_model.evaluation.metrics.sample_sets import energy_score
from trajforecast_model.evaluation.metrics.visibility import average_jaccard, occlusion_accuracy, points_within
from trajforecast_model.evaluation.windows import PROTOCOL_IMAGE_SIZE, MovingWindow
from trajforecast_model.tracks.grid import rescale

VISIBILITY_IMAGE_SIZE = (256, 256)  # TAP-Vid's thresholds are in pixels of such images


@dataclass(frozen=True)
class Errors:
    """Errors over some points of one window."""

    nothing_moves: float
    by_metric: dict[str, dict[str, float]]  # metric -> k -> value
    extrapolations: dict[str, float] = field(default_factory=dict)  # px^2 by name; none without a history


@dataclass(frozen=True)
class VisibilityScores:
    """Fractions, of the frames after the present one; None where nothing counts, or where visibility is not forecast."""

    visible: float  # of the drawn points' frames: the accuracy of saying that all are visible
    points_within: dict[str, float] | None  # px at VISIBILITY_IMAGE_SIZE -> of the truly visible drawn points
    visible_everywhere: float  # of all points of the grid
    occlusion_accuracy: float | None = None  # drawn points
    average_jaccard: float | None = None  # drawn points
    occlusion_accuracy_everywhere: float | None = None


@dataclass(frozen=True)
class WindowScores:
    """Everything measured on one window; px^2 are summed over x and y."""

    index: int  # in the dataset
    task: str
    demo: str
    view: str
    drawn_points: Errors
    all_moving_points: Errors | None  # None for a model that is asked for single points
    over_time: dict[str, np.ndarray]  # metric -> [T] px^2, drawn points, largest k
    calibration: TrackCalibration | None  # drawn points, largest k; None for one sample
    visibility: VisibilityScores | None = None  # largest k


def score_window(moving_window: MovingWindow, forecast: PointForecast, counts: list[int]) -> WindowScores:
    """Compares the forecast of a window with what happened.

    Args:
        forecast: the largest of `counts` samples, or the only one of a model that does not sample.
        counts: the numbers of samples to evaluate, ascending.

    Raises:
        ValueError: for a forecast that is not finite.
    """
    window = moving_window.window
    if not all(np.isfinite(tracks).all() for tracks in (forecast.drawn, forecast.moving) if tracks is not None):
        raise ValueError(
            f"the forecast of the window at frame {window.start} of {window.task}, {window.demo}, {window.view}, has values "
            "that are not finite; the model's weights are damaged, or overflow in this dtype: try float32"
        )
    drawn, drawn_truth = forecast.drawn, moving_window.drawn_truth
    all_moving_points = None
    if forecast.moving is not None:
        truth = moving_window.moving_truth
        all_moving_points = Errors(
            nothing_moves_error(truth),
            window_errors(forecast.moving, truth, counts),
            _extrapolation_errors(moving_window, moving_window.moving, truth),
        )
    metrics = window_errors(drawn, drawn_truth, counts) | _distances(drawn, drawn_truth, counts)
    return WindowScores(
        index=moving_window.index,
        task=window.task,
        demo=window.demo,
        view=window.view,
        drawn_points=Errors(
            nothing_moves_error(drawn_truth),
            metrics,
            _extrapolation_errors(moving_window, moving_window.drawn, drawn_truth),
        ),
        all_moving_points=all_moving_points,
        over_time=_over_time(drawn, drawn_truth),
        calibration=track_calibration(drawn, drawn_truth) if len(drawn) > 1 else None,
        visibility=_visibility(moving_window, forecast),
    )


def window_errors(samples: np.ndarray, truth: np.ndarray, counts: list[int]) -> dict[str, dict[str, float]]:
    """All errors of one window, by metric and k: px^2 summed over x and y, averaged over time and points.

    Args:
        samples: [k, T, P, 2], k at least the largest of `counts`; the first n are those of a smaller k. Or [1, T, P, 2]:
            the forecast of a model that does not sample, which is every k's.
        truth: [T, P, 2]

    Raises:
        ValueError: for another number of samples.
    """
    if 1 < len(samples) < counts[-1]:
        raise ValueError(f"expected {counts[-1]} samples, or 1 of a model that does not sample, got {len(samples)}")
    errors = squared_error(samples, truth)  # [k, P]
    values: dict[str, dict[str, float]] = {"mean_t": {}, "mean": {}, "min": {}, "min_per_track": {}}
    for k in counts:
        average = samples[:k].mean(axis=0, keepdims=True, dtype=np.float64)
        values["mean_t"][str(k)] = float(squared_error(average, truth).mean())
        values["mean"][str(k)] = float(errors[:k].mean())
        values["min"][str(k)] = float(errors[:k].mean(axis=1).min())
        values["min_per_track"][str(k)] = float(errors[:k].min(axis=0).mean())
    return values


def _extrapolation_errors(one: MovingWindow, points: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """px^2 of every extrapolation, whose forecast is one future; none where the window has no history."""
    if one.window.history_tracks is None:
        return {}
    size = one.dataset.info.image_size
    forecasts = {
        name: rescale(extrapolated_at(one.window, name, points), size, PROTOCOL_IMAGE_SIZE) for name in EXTRAPOLATIONS
    }
    return {name: float(squared_error(tracks[None], truth).mean()) for name, tracks in forecasts.items()}


def _visibility(one: MovingWindow, forecast: PointForecast) -> VisibilityScores:
    """Of the average of the samples, at the drawn points; visibility also at all points of the grid."""
    everywhere = one.window.visibility.reshape(len(one.truth), -1)
    visible = everywhere[:, one.drawn]
    tracks, truth = (
        rescale(tracks, PROTOCOL_IMAGE_SIZE, VISIBILITY_IMAGE_SIZE)
        for tracks in (forecast.drawn.mean(axis=0), one.drawn_truth)
    )
    within = points_within(tracks, truth, visible) if visible[1:].any() else None
    scores = VisibilityScores(
        visible=float(visible[1:].mean()),
        visible_everywhere=float(everywhere[1:].mean()),
        points_within=within and {f"{threshold:g}": share for threshold, share in within.items()},
    )
    if forecast.visibility is None:
        return scores
    said_everywhere = forecast.visibility > 0.5
    said = said_everywhere[:, one.drawn]
    some = visible[1:].any() or said[1:].any()
    return replace(
        scores,
        occlusion_accuracy=occlusion_accuracy(said, visible),
        average_jaccard=average_jaccard(tracks, said, truth, visible) if some else None,
        occlusion_accuracy_everywhere=occlusion_accuracy(said_everywhere, everywhere),
    )


def _distances(samples: np.ndarray, truth: np.ndarray, counts: list[int]) -> dict[str, dict[str, float]]:
    """The errors in px: displacement of the average of the samples, and the energy score."""
    return {
        "ade": {str(k): ade(samples[:k].mean(axis=0), truth) for k in counts},
        "fde": {str(k): fde(samples[:k].mean(axis=0), truth) for k in counts},
        "energy_score": {str(k): energy_score(samples[:k], truth) for k in counts},
    }


def _over_time(samples: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Squared errors of every frame, [T] px^2, averaged over points."""
    forecasts = {
        "nothing_moves": truth[:1][None],
        "mean_t": samples.mean(axis=0, keepdims=True, dtype=np.float64),
        "mean": samples,
    }
    return {
        name: ((np.asarray(tracks, np.float64) - truth) ** 2).sum(axis=-1).mean(axis=(0, 2))
        for name, tracks in forecasts.items()
    }
