"""Does the spread of the samples tell how wrong they are? Pure numpy; lengths in pixels.

A forecast is calibrated where the truth could as well be one more of its samples. Three consequences are checked:
- each coordinate of the truth lies between the least and the greatest of the k samples in (k - 1) of (k + 1) cases,
  whatever the distribution, because every rank of the truth among them is as likely;
- the squared error of the samples' average is on average (k + 1) / k times their variance (Fortin et al. 2014, "Why
  should ensemble spread match the RMSE of the ensemble mean?"), which gives every track a predicted error;
- so it is among the tracks of every predicted error alike (Leutbecher and Palmer 2008, section 2.1), and tracks of a
  larger predicted error have larger errors.
"""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.evaluation.metrics.errors import samples_and_truth

RELIABILITY_BINS = 10


@dataclass(frozen=True)
class TrackCalibration:
    """What the calibration needs to know of each of P tracks, averaged over the frames after the first."""

    between: np.ndarray  # [P], how often a coordinate of the truth lies between the samples'
    in_box: np.ndarray  # [P], how often both do
    predicted_squared_error: np.ndarray  # [P] px^2, from the samples alone
    squared_error: np.ndarray  # [P] px^2, of the average of the samples


def track_calibration(samples: np.ndarray, truth: np.ndarray) -> TrackCalibration:
    """Looks at each track of one forecast.

    Args:
        samples: [k, T, P, 2], at least two samples and two frames; the first frame is known and does not count.
        truth: [T, P, 2]

    Raises:
        ValueError: for other shapes.
    """
    samples, truth = samples_and_truth(samples, truth)
    k = len(samples)
    if k < 2 or len(truth) < 2:
        raise ValueError(f"samples: got {k} of {len(truth)} frames; calibration needs two samples and two frames")
    samples, truth = samples[:, 1:], truth[1:]
    between = (samples.min(axis=0) <= truth) & (truth <= samples.max(axis=0))  # [T - 1, P, 2]
    variance = samples.var(axis=0, ddof=1).sum(axis=-1)  # [T - 1, P]
    error = ((samples.mean(axis=0) - truth) ** 2).sum(axis=-1)
    return TrackCalibration(
        between=between.mean(axis=(0, 2)),
        in_box=between.all(axis=-1).mean(axis=0),
        predicted_squared_error=(k + 1) / k * variance.mean(axis=0),
        squared_error=error.mean(axis=0),
    )


def calibration_summary(tracks: list[TrackCalibration], k: int) -> dict:
    """The calibration of many forecasts of k samples, as JSON. Every track counts the same.

    Returns:
        tracks: their number.
        coverage: per_coordinate, its expected value for a calibrated forecast, and box (both coordinates at once).
        error_over_predicted: root mean square error over root mean square predicted error; above 1 is overconfident.
            None where the samples are all the same.
        correlation: of predicted errors with errors, by rank (spearman) and by value (pearson). None where one of the
            two is the same for all tracks.
        reliability: up to ten groups of as many tracks, by predicted error: its root mean square and that of the error.
    """
    predicted = np.concatenate([track.predicted_squared_error for track in tracks])
    observed = np.concatenate([track.squared_error for track in tracks])
    return {
        "tracks": len(predicted),
        "coverage": {
            "per_coordinate": float(np.concatenate([track.between for track in tracks]).mean()),
            "expected_per_coordinate": (k - 1) / (k + 1),
            "box": float(np.concatenate([track.in_box for track in tracks]).mean()),
        },
        "error_over_predicted": float(np.sqrt(observed.mean() / predicted.mean())) if predicted.any() else None,
        "correlation": {
            "spearman": correlation(_ranks(predicted), _ranks(observed)),
            "pearson": correlation(np.sqrt(predicted), np.sqrt(observed)),
        },
        "reliability": _reliability(predicted, observed),
    }


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's correlation of two [N]; None where one of them does not vary."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks [N] from 0, equal values sharing the mean of theirs."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count + 1) / 2)[group]


def _reliability(predicted: np.ndarray, observed: np.ndarray) -> list[dict]:
    order = np.argsort(predicted, kind="stable")
    groups = np.array_split(order, min(RELIABILITY_BINS, len(order)))
    return [
        {
            "tracks": len(group),
            "predicted_error": float(np.sqrt(predicted[group].mean())),
            "error": float(np.sqrt(observed[group].mean())),
        }
        for group in groups
    ]
