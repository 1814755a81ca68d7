"""How far forecasts are from what happened, and how natural they look. Pure numpy; all lengths in pixels.

Symbols: k samples, T frames, P points, N track sets. Any grid of points may stand for P where a function says so.
Sources: WHN is arXiv 2509.21592; FVMD is arXiv 2407.16124.
"""

from dataclasses import dataclass
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
    samples, truth = _samples_and_truth(samples, truth)
    error = ((samples - truth) ** 2).mean(axis=1)  # [k, P, 2]
    return _over_coordinates(error, coordinates)


def mean_t(samples: np.ndarray, truth: np.ndarray, coordinates: Coordinates = "sum") -> float:
    """Squared error of the average of the samples, averaged over time and points (WHN's MeanT)."""
    samples, truth = _samples_and_truth(samples, truth)
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


def best_of_k(generated: np.ndarray, simulated: np.ndarray, coordinates: Coordinates = "sum") -> float:
    """Mean over scenes of the least squared error between any generated and any simulated future (WHN section 4).

    Args:
        generated: [S, K, T, ..., 2]
        simulated: [S, M, T, ..., 2], the same scenes, times and points.
    """
    generated, simulated = np.asarray(generated, np.float64), np.asarray(simulated, np.float64)
    if generated.ndim < 4 or generated.shape[0] != simulated.shape[0] or generated.shape[2:] != simulated.shape[2:]:
        raise ValueError(
            f"expected generated [S, K, T, ..., 2] and simulated [S, M, T, ..., 2], "
            f"got {list(generated.shape)} and {list(simulated.shape)}"
        )
    best = []
    for futures, truths in zip(generated, simulated, strict=True):
        errors = [_over_coordinates(((future - truths) ** 2), coordinates) for future in futures]  # [M, T, ...] each
        best.append(min(error.reshape(len(truths), -1).mean(axis=1).min() for error in errors))
    return float(np.mean(best))


def ade(tracks: np.ndarray, truth: np.ndarray) -> float:
    """Average displacement error: the distance to the truth averaged over everything, px. Shapes [..., T, P, 2]."""
    return float(np.linalg.norm(np.subtract(tracks, truth, dtype=np.float64), axis=-1).mean())


def fde(tracks: np.ndarray, truth: np.ndarray) -> float:
    """Final displacement error: the distance to the truth at the last frame, px. Shapes [..., T, P, 2]."""
    return ade(np.asarray(tracks)[..., -1:, :, :], np.asarray(truth)[..., -1:, :, :])


def energy_score(samples: np.ndarray, truth: np.ndarray) -> float:
    """The energy score of a set of samples, px: lower is better, and least in expectation for the true distribution.

    ES = 1/k sum_i d(x_i, y) - 1/(2 k^2) sum_ij d(x_i, x_j), where d is the root of the squared distance averaged over
    time and points (Gneiting and Raftery 2007, eq. 22, with beta = 1).

    Args:
        samples: [k, T, P, 2]
        truth: [T, P, 2]
    """
    samples, truth = _samples_and_truth(samples, truth)
    to_truth = _root_mean_square_distance(samples, truth[None])
    between = np.mean([_root_mean_square_distance(samples, sample[None]) for sample in samples])
    return float(to_truth.mean() - between / 2)


@dataclass(frozen=True)
class FVMD:
    """Frechet video motion distances; each is the distance between histograms of that quantity."""

    velocity: float
    acceleration: float
    combined: float


def fvmd(generated: np.ndarray, reference: np.ndarray) -> FVMD:
    """Frechet distance between the motion histograms of two sets of tracks (FVMD section 3; see docs/evaluation.md).

    The sets are [N, T, H, W, 2] (their N may differ), T at least 4 and H, W at least 5; frames and points beyond a
    multiple of those are left out. The published scale is pixels of a 256-px image, which the caller has to provide:
    see `trajforecast_model.tracks.grid.rescale`.

    Any motion at all counts 1/8, so jitter far below a pixel weighs as much as slow motion: report the tracks as they
    are and rounded to 1/8 px.

    Raises:
        ValueError: for other shapes, or fewer than two track sets (a covariance needs two).
    """
    generated, reference = np.asarray(generated, np.float64), np.asarray(reference, np.float64)
    for name, tracks in (("generated", generated), ("reference", reference)):
        if tracks.ndim != 5 or tracks.shape[-1] != 2 or len(tracks) < 2:
            raise ValueError(f"{name}: expected at least two track sets [N, T, H, W, 2], got {list(tracks.shape)}")
        if tracks.shape[1] < _CUBE_FRAMES or min(tracks.shape[2:4]) < _CUBE_POINTS:
            raise ValueError(f"{name}: needs at least 4 frames and 5x5 points, got {list(tracks.shape)}")
    if generated.shape[1:] != reference.shape[1:]:
        raise ValueError(
            f"generated {list(generated.shape)} and reference {list(reference.shape)} differ in frames or grid"
        )
    v_generated, a_generated = _motion_features(generated)
    v_reference, a_reference = _motion_features(reference)
    return FVMD(
        velocity=_frechet_distance(v_generated, v_reference),
        acceleration=_frechet_distance(a_generated, a_reference),
        combined=_frechet_distance(
            np.concatenate([v_generated, a_generated], axis=1), np.concatenate([v_reference, a_reference], axis=1)
        ),
    )


def lrtl(tracks: np.ndarray, rank: int = 5) -> float:
    """Low-rank trajectory loss of one object: how far its tracks are from a rigid motion under an affine camera.

    The root of the summed squares of the singular values after the `rank`-th of the uncentred [2 T, N] matrix of
    coordinates. The published scale is pixels of a 256-px image.

    Args:
        tracks: [T, N, 2], the points of one object.
    """
    tracks = np.asarray(tracks, np.float64)
    if tracks.ndim != 3 or tracks.shape[-1] != 2 or 0 in tracks.shape:
        raise ValueError(f"tracks: expected the points of one object, [T, N, 2], got {list(tracks.shape)}")
    matrix = tracks.transpose(0, 2, 1).reshape(-1, tracks.shape[1])  # [2 T, N]
    return float(np.sqrt((np.linalg.svd(matrix, compute_uv=False)[rank:] ** 2).sum()))


_CUBE_FRAMES, _CUBE_POINTS, _ANGLE_BINS = 4, 5, 8
_FRECHET_EPSILON = 1e-5


def _motion_features(tracks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Histograms of velocity and of acceleration, float64 [N, cubes * 8] each."""
    velocity = np.zeros_like(tracks)
    velocity[:, 1:] = np.diff(tracks, axis=1)
    acceleration = np.zeros_like(tracks)
    acceleration[:, 2:] = np.diff(velocity[:, 1:], axis=1)
    return _direction_histograms(velocity), _direction_histograms(acceleration)


def _direction_histograms(vectors: np.ndarray) -> np.ndarray:
    """Per cube of 4 frames x 5x5 points, how much motion there is in each of 8 directions: [N, cubes * 8]."""
    sets, frames, rows, columns, _ = vectors.shape
    cubes = (frames // _CUBE_FRAMES, rows // _CUBE_POINTS, columns // _CUBE_POINTS)
    vectors = vectors[:, : cubes[0] * _CUBE_FRAMES, : cubes[1] * _CUBE_POINTS, : cubes[2] * _CUBE_POINTS]
    x, y = vectors[..., 0], vectors[..., 1]
    angle = np.arctan2(x, y)  # x first, as the published code has it
    direction = np.minimum(np.floor((angle + np.pi) / (2 * np.pi / _ANGLE_BINS)).astype(np.int64), _ANGLE_BINS - 1)
    speed = np.clip(np.hypot(x, y), 0, 255)
    weight = np.ceil(np.clip(np.log2(speed + 1), 0, 8)) / 8
    in_cubes = (sets, cubes[0], _CUBE_FRAMES, cubes[1], _CUBE_POINTS, cubes[2], _CUBE_POINTS)
    direction, weight = direction.reshape(in_cubes), weight.reshape(in_cubes)
    histogram = [np.where(direction == number, weight, 0).sum(axis=(2, 4, 6)) for number in range(_ANGLE_BINS)]
    return np.stack(histogram, axis=-1).reshape(sets, -1)


def _frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 ((C_a + eps I)(C_b + eps I))^(1/2)) of features [N, F]."""
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    ridge = _FRECHET_EPSILON * np.eye(len(covariance_a))
    # C_a = L L^T, and (L^T C_b L) has the eigenvalues of C_a C_b while being symmetric.
    lower = np.linalg.cholesky(covariance_a + ridge)
    eigenvalues = np.linalg.eigvalsh(lower.T @ (covariance_b + ridge) @ lower)
    root_trace = np.sqrt(np.maximum(eigenvalues, 0)).sum()
    difference = a.mean(axis=0) - b.mean(axis=0)
    return float(difference @ difference + np.trace(covariance_a) + np.trace(covariance_b) - 2 * root_trace)


def _samples_and_truth(samples: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    samples, truth = np.asarray(samples, np.float64), np.asarray(truth, np.float64)
    if samples.ndim != 4 or samples.shape[1:] != truth.shape or truth.shape[-1] != 2 or 0 in samples.shape:
        raise ValueError(
            f"expected samples [k, T, P, 2] and truth [T, P, 2], got {list(samples.shape)} and {list(truth.shape)}"
        )
    return samples, truth


def _over_coordinates(squared: np.ndarray, coordinates: Coordinates) -> np.ndarray:
    if coordinates == "sum":
        return squared.sum(axis=-1)
    if coordinates == "mean":
        return squared.mean(axis=-1)
    raise ValueError(f"coordinates: got {coordinates!r}, expected 'sum' or 'mean'")


def _root_mean_square_distance(samples: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.sqrt(((samples - other) ** 2).sum(axis=-1).mean(axis=(1, 2)))
