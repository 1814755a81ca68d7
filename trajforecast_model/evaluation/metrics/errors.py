"""How far sampled futures are from what happened. Pure numpy.

Symbols: k samples, T frames, P points, S scenes. Lengths in pixels, squared errors in px^2.
WHN is arXiv 2509.21592, TrajLoom is arXiv 2603.22606. Every formula stands in docs/evaluation.md.
"""

from typing import Literal

import numpy as np

Coordinates = Literal["sum", "mean"]
MinPer = Literal["window", "track"]


def squared_error(samples: np.ndarray, truth: np.ndarray, coordinates: Coordinates = "sum") -> np.ndarray:
    """Squared error of each sample's tracks, averaged over time (all T frames, the known first one included).

    e[j, p] = 1/T sum_t |x[j, t, p] - y[t, p]|^2

    Args:
        samples: [k, T, P, 2]
        truth: [T, P, 2]
        coordinates: "sum" takes the squared Euclidean distance, "mean" half of it: the average over x and y.

    Returns:
        float64 [k, P], px^2

    Raises:
        ValueError: where the shapes do not belong together.
    """
    samples, truth = samples_and_truth(samples, truth)
    error = ((samples - truth) ** 2).mean(axis=1)  # [k, P, 2]
    return over_coordinates(error, coordinates)


def mean_t(samples: np.ndarray, truth: np.ndarray, coordinates: Coordinates = "sum") -> float:
    """Squared error of the average of the samples, averaged over time and points (WHN's MeanT)."""
    samples, truth = samples_and_truth(samples, truth)
    return float(squared_error(samples.mean(axis=0, keepdims=True), truth, coordinates).mean())


def mean_error(samples: np.ndarray, truth: np.ndarray, coordinates: Coordinates = "sum") -> float:
    """Squared error averaged over samples, time and points (WHN's Mean)."""
    return float(squared_error(samples, truth, coordinates).mean())


def min_error(
    samples: np.ndarray, truth: np.ndarray, coordinates: Coordinates = "sum", per: MinPer = "window"
) -> float:
    """Squared error of the best sample, averaged over time and points (WHN's Min).

    Args:
        per: "window" takes the one sample that is best over all points, "track" the best for each point.
    """
    error = squared_error(samples, truth, coordinates)
    if per == "window":
        return float(error.mean(axis=1).min())
    if per == "track":
        return float(error.min(axis=0).mean())
    raise ValueError(f"per: got {per!r}, expected 'window' or 'track'")


def nothing_moves_error(truth: np.ndarray, coordinates: Coordinates = "sum") -> float:
    """Squared error of the forecast that every point stays where it is. truth: [T, P, 2]."""
    truth = np.asarray(truth, np.float64)
    return mean_error(np.broadcast_to(truth[:1], (1, *truth.shape)), truth, coordinates)


def best_of_k(generated: np.ndarray, simulated: np.ndarray, coordinates: Coordinates = "sum") -> float:
    """Mean over scenes of the least squared error between any generated and any simulated future (WHN section 4).

    Args:
        generated: [S, K, T, ..., 2]
        simulated: [S, M, T, ..., 2], the same scenes, times and points.

    Raises:
        ValueError: for shapes that do not belong together, or values that are not finite.
    """
    generated, simulated = np.asarray(generated, np.float64), np.asarray(simulated, np.float64)
    if (
        generated.ndim < 4
        or generated.shape[0] != simulated.shape[0]
        or generated.shape[2:] != simulated.shape[2:]
        or generated.shape[-1] != 2
        or 0 in (*generated.shape, *simulated.shape)
    ):
        raise ValueError(
            f"expected generated [S, K, T, ..., 2] and simulated [S, M, T, ..., 2], "
            f"got {list(generated.shape)} and {list(simulated.shape)}"
        )
    for name, futures in (("generated", generated), ("simulated", simulated)):
        if not np.isfinite(futures).all():
            raise ValueError(f"{name}: some values are not finite, so that no future is the best")
    best = []
    for futures, truths in zip(generated, simulated, strict=True):
        errors = [over_coordinates((future - truths) ** 2, coordinates) for future in futures]  # [M, T, ...] each
        best.append(min(error.reshape(len(truths), -1).mean(axis=1).min() for error in errors))
    return float(np.mean(best))


def ade(tracks: np.ndarray, truth: np.ndarray) -> float:
    """Average displacement error: the distance to the truth averaged over everything, px.

    Args:
        tracks: [..., T, P, 2], one forecast or several
        truth: [T, P, 2], or of each forecast [..., T, P, 2]

    Raises:
        ValueError: for shapes that do not belong together.
    """
    return float(_distance(tracks, truth).mean())


def fde(tracks: np.ndarray, truth: np.ndarray) -> float:
    """Final displacement error: the distance to the truth at the last frame, px. Shapes as of `ade`."""
    distance = _distance(tracks, truth)
    if distance.ndim < 2:
        raise ValueError(f"expected tracks [..., T, P, 2], got {list(np.shape(tracks))}")
    return float(distance[..., -1, :].mean())


def vepe(tracks: np.ndarray, truth: np.ndarray, visible: np.ndarray) -> float:
    """Visible end-point error: the distance to the truth averaged over what is truly visible, px (TrajLoom eq. 15-17).

    Every visible point of every frame counts the same, so several track sets are pooled by giving them at once.

    Args:
        tracks: [..., P, 2]
        truth: [..., P, 2]
        visible: bool [..., P], of the truth.

    Raises:
        ValueError: for shapes that do not belong together, or where nothing is visible.
    """
    if np.shape(tracks) != np.shape(truth):
        raise ValueError(
            f"expected tracks and truth of one shape, got {list(np.shape(tracks))} and {list(np.shape(truth))}"
        )
    distance = _distance(tracks, truth)
    visible = np.asarray(visible)
    if visible.dtype != bool or visible.shape != distance.shape:
        raise ValueError(f"visible: expected bool {list(distance.shape)}, got {visible.dtype} {list(visible.shape)}")
    if not visible.any():
        raise ValueError("visible: no point is visible in any frame, so there is no error to average")
    return float(distance[visible].mean())


def samples_and_truth(samples: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, or a ValueError unless they are [k, T, P, 2] and [T, P, 2] with nothing empty."""
    samples, truth = np.asarray(samples, np.float64), np.asarray(truth, np.float64)
    if samples.ndim != 4 or samples.shape[1:] != truth.shape or truth.shape[-1] != 2 or 0 in samples.shape:
        raise ValueError(
            f"expected samples [k, T, P, 2] and truth [T, P, 2], got {list(samples.shape)} and {list(truth.shape)}"
        )
    return samples, truth


def over_coordinates(squared: np.ndarray, coordinates: Coordinates) -> np.ndarray:
    """Squares of x and y [..., 2] to one number each, by the convention chosen."""
    if coordinates == "sum":
        return squared.sum(axis=-1)
    if coordinates == "mean":
        return squared.mean(axis=-1)
    raise ValueError(f"coordinates: got {coordinates!r}, expected 'sum' or 'mean'")


def _distance(tracks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[..., T, P, 2] and [T, P, 2], or both of one shape [..., 2] -> [...]"""
    tracks, truth = np.asarray(tracks), np.asarray(truth)
    fits = tracks.shape == truth.shape or (truth.ndim == 3 and tracks.shape[-3:] == truth.shape)
    if not fits or tracks.shape[-1:] != (2,) or 0 in tracks.shape:
        raise ValueError(
            f"expected tracks [..., T, P, 2] and truth [T, P, 2], or both of one shape, got {list(tracks.shape)} and "
            f"{list(truth.shape)}"
        )
    return np.linalg.norm(np.subtract(tracks, truth, dtype=np.float64), axis=-1)
