"""Is it known which points are seen, and where they are? Of forecasts and of trackers. Pure numpy.

Source: TAP-Vid, arXiv 2211.03726, section 3, query mode "first": the frames after the query frame count, which for a
forecast is frame 0. Its figures are fractions per video, averaged over videos, in pixels of a 256-px image.
"""

import numpy as np

JACCARD_THRESHOLDS = (1.0, 2.0, 4.0, 8.0, 16.0)  # px at 256 px


def occlusion_accuracy(forecast_visible: np.ndarray, visible: np.ndarray) -> float:
    """Fraction of points and frames after the first whose visibility is forecast right.

    Args:
        forecast_visible: bool [T, P]; of probabilities, which exceed 1/2.
        visible: bool [T, P], the truth.
    """
    forecast_visible, visible = _after_the_first_frame(forecast_visible, visible)
    return float((forecast_visible == visible).mean())


def points_within(tracks: np.ndarray, truth: np.ndarray, visible: np.ndarray) -> dict[float, float]:
    """Fraction of the truly visible points, after the first frame, that are less than each threshold away.

    Args:
        tracks: [T, P, 2], pixels of a 256-px image.
        truth: [T, P, 2]
        visible: bool [T, P], the truth.

    Raises:
        ValueError: for shapes that do not belong together, or where nothing is visible.
    """
    distance = _distance(tracks, truth, visible)
    visible, _ = _after_the_first_frame(visible, visible)
    if not visible.any():
        raise ValueError("visible: no point is visible after the first frame, so there is none to be near to")
    return {threshold: float((distance[visible] < threshold).mean()) for threshold in JACCARD_THRESHOLDS}


def average_jaccard(tracks: np.ndarray, forecast_visible: np.ndarray, truth: np.ndarray, visible: np.ndarray) -> float:
    """Position and visibility in one figure: TP / (truly visible + FP), averaged over five thresholds.

    TP are truly visible, forecast visible and less than the threshold away; FP are forecast visible and are not truly
    visible or not that near. A visible point that is forecast too far away therefore counts twice in the denominator.

    Args:
        tracks: [T, P, 2], pixels of a 256-px image (see `trajforecast_model.tracks.grid.rescale`).
        forecast_visible: bool [T, P]; of probabilities, which exceed 1/2.
        truth: [T, P, 2]
        visible: bool [T, P], the truth.

    Raises:
        ValueError: for shapes that do not belong together, or where nothing is visible nor forecast to be.
    """
    distance = _distance(tracks, truth, visible)
    forecast_visible, visible = _after_the_first_frame(forecast_visible, visible)
    if not (visible | forecast_visible).any():
        raise ValueError("visible: no point is visible or forecast to be, so there is no Jaccard index")
    indices = []
    for threshold in JACCARD_THRESHOLDS:
        right = forecast_visible & visible & (distance < threshold)
        wrong = forecast_visible & ~right
        indices.append(right.sum() / (visible.sum() + wrong.sum()))
    return float(np.mean(indices))


def _distance(tracks: np.ndarray, truth: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """[T - 1, P] after the first frame."""
    tracks, truth = np.asarray(tracks, np.float64), np.asarray(truth, np.float64)
    if tracks.shape != truth.shape or tracks.shape != (*np.shape(visible), 2):
        raise ValueError(
            f"expected tracks and truth [T, P, 2] and visible [T, P], "
            f"got {list(tracks.shape)}, {list(truth.shape)} and {list(np.shape(visible))}"
        )
    return np.linalg.norm(tracks[1:] - truth[1:], axis=-1)


def _after_the_first_frame(forecast_visible: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    forecast_visible, visible = np.asarray(forecast_visible), np.asarray(visible)
    for name, flags in (("forecast_visible", forecast_visible), ("visible", visible)):
        if flags.dtype != bool or flags.ndim != 2 or flags.shape != visible.shape or len(flags) < 2 or not flags.size:
            raise ValueError(
                f"{name}: expected bool [T, P] of at least two frames like the other, "
                f"got {flags.dtype} {list(flags.shape)}"
            )
    return forecast_visible[1:], visible[1:]
