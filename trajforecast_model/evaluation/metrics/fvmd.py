"""Frechet video motion distance: how far apart two sets of tracks are as distributions of motion. Pure numpy.

Source: FVMD, arXiv 2407.16124, section 3, with the constants of its published code; WHN reports it too. TrajLoom's
benchmark (arXiv 2603.22606) leaves the motion of hidden points out.
"""

from dataclasses import dataclass

import numpy as np

CLIP_FRAMES = 16  # of the published figures
_CUBE_FRAMES, _CUBE_POINTS, _ANGLE_BINS = 4, 5, 8
_FRECHET_EPSILON = 1e-5
_SETS_AT_ONCE = 32  # bounds the memory that the intermediate results take


@dataclass(frozen=True)
class FVMD:
    """Frechet video motion distances; each is the distance between histograms of that quantity."""

    velocity: float
    acceleration: float
    combined: float


@dataclass(frozen=True)
class MotionHistograms:
    """What is compared of N track sets, float64 [N, cubes * 8] each."""

    velocity: np.ndarray
    acceleration: np.ndarray


def fvmd(generated: np.ndarray, reference: np.ndarray, visibility: np.ndarray | None = None) -> FVMD:
    """Frechet distance between the motion histograms of two sets of tracks.

    Each track set is one clip. The published scale is clips of 16 frames in pixels of a 256-px image, which the caller
    has to provide: see `clips` here and `trajforecast_model.tracks.grid.rescale`.

    Any motion at all counts 1/8, so jitter far below a pixel weighs as much as slow motion: report the tracks as they
    are and again after `rounded_to_eighths`.

    Args:
        generated: [N, T, H, W, 2] with at least two sets (a covariance needs two), 4 frames and 5x5 points; frames and
            points beyond a multiple of those are left out.
        reference: [M, T, H, W, 2]
        visibility: bool [N, T, H, W], where the reference's points are visible; set n of either is then of the same
            clip, and M = N. Motion between two frames counts where the point is visible in both, acceleration where it
            is in all three, in both sets alike (TrajLoom). Hidden positions need not be finite. None: all count.

    Raises:
        ValueError: for other shapes, where the two differ in T, H or W, or for positions that are not finite.
    """
    generated, reference = np.asarray(generated), np.asarray(reference)
    for name, tracks in (("generated", generated), ("reference", reference)):
        if tracks.ndim != 5 or tracks.shape[-1] != 2 or len(tracks) < 2:
            raise ValueError(f"{name}: expected at least two track sets [N, T, H, W, 2], got {list(tracks.shape)}")
        if tracks.shape[1] < _CUBE_FRAMES or min(tracks.shape[2:4]) < _CUBE_POINTS:
            raise ValueError(f"{name}: needs at least 4 frames and 5x5 points, got {list(tracks.shape)}")
    if generated.shape[1:] != reference.shape[1:]:
        raise ValueError(
            f"generated {list(generated.shape)} and reference {list(reference.shape)} differ in frames or grid"
        )
    if visibility is not None:
        visibility = _checked_visibility(visibility, reference.shape[:-1])
    if visibility is not None and generated.shape != reference.shape:
        raise ValueError(
            f"visibility: is of clips that both sets hold, but generated is {list(generated.shape)} and reference "
            f"{list(reference.shape)}"
        )
    for name, tracks in (("generated", generated), ("reference", reference)):
        if not _finite(tracks, visibility):
            raise ValueError(f"{name}: has positions that are not finite; leave those track sets out")
    return fvmd_of_histograms(motion_histograms(generated, visibility), motion_histograms(reference, visibility))


def fvmd_of_histograms(generated: MotionHistograms, reference: MotionHistograms) -> FVMD:
    """`fvmd` of sets whose histograms were made before, a few sets at a time: at least two of each."""
    return FVMD(
        velocity=_frechet_distance(generated.velocity, reference.velocity),
        acceleration=_frechet_distance(generated.acceleration, reference.acceleration),
        combined=_frechet_distance(
            np.concatenate([generated.velocity, generated.acceleration], axis=1),
            np.concatenate([reference.velocity, reference.acceleration], axis=1),
        ),
    )


def fvmd_per_scene(generated: np.ndarray, reference: np.ndarray) -> FVMD:
    """The FVMD of each scene's futures, averaged over scenes: FVMD (S) of WHN, which sees diversity within a scene.

    Args:
        generated: [S, K, T, H, W, 2], K futures of each of S scenes.
        reference: [S, M, T, H, W, 2], the same scenes.
    """
    if len(generated) != len(reference) or not len(generated):
        raise ValueError(
            f"expected futures of the same scenes, [S, K, T, H, W, 2] and [S, M, T, H, W, 2], "
            f"got {list(np.shape(generated))} and {list(np.shape(reference))}"
        )
    distances = [fvmd(futures, truths) for futures, truths in zip(generated, reference, strict=True)]
    return FVMD(
        velocity=float(np.mean([distance.velocity for distance in distances])),
        acceleration=float(np.mean([distance.acceleration for distance in distances])),
        combined=float(np.mean([distance.combined for distance in distances])),
    )


def clips(tracks: np.ndarray, frames: int = CLIP_FRAMES, stride: int = 1) -> np.ndarray:
    """Every run of `frames` frames, one beginning every `stride` frames: [N, T, ...] -> [N * runs, frames, ...].

    Raises:
        ValueError: for fewer than `frames` frames.
    """
    tracks = np.asarray(tracks)
    if tracks.ndim < 2 or tracks.shape[1] < frames:
        raise ValueError(f"tracks: expected [N, T, ...] with at least {frames} frames, got {list(tracks.shape)}")
    starts = range(0, tracks.shape[1] - frames + 1, stride)
    return np.stack([tracks[:, start : start + frames] for start in starts], axis=1).reshape(
        -1, frames, *tracks.shape[2:]
    )


def rounded_to_eighths(tracks: np.ndarray) -> np.ndarray:
    """Tracks on a lattice of 1/8 px, which hides the jitter of still points from the histograms."""
    return np.round(np.asarray(tracks) * 8) / 8


def motion_histograms(tracks: np.ndarray, visibility: np.ndarray | None = None) -> MotionHistograms:
    """The features of track sets [N, T, H, W, 2], with the motion of hidden points, bool [N, T, H, W], left out.

    Raises:
        ValueError: for a mask of another shape.
    """
    tracks = np.asarray(tracks)
    if visibility is not None:
        visibility = _checked_visibility(visibility, tracks.shape[:-1])
    velocities, accelerations = [], []
    for start in range(0, len(tracks), _SETS_AT_ONCE):
        positions = tracks[start : start + _SETS_AT_ONCE].astype(np.float64)
        velocity = np.zeros_like(positions)
        velocity[:, 1:] = np.diff(positions, axis=1)
        acceleration = np.zeros_like(positions)
        acceleration[:, 2:] = np.diff(velocity[:, 1:], axis=1)
        moved = accelerated = None
        if visibility is not None:
            now = visibility[start : start + _SETS_AT_ONCE]
            moved, accelerated = np.zeros_like(now), np.zeros_like(now)
            moved[:, 1:] = now[:, 1:] & now[:, :-1]
            accelerated[:, 2:] = moved[:, 2:] & moved[:, 1:-1]
        velocities.append(_direction_histograms(velocity, moved))
        accelerations.append(_direction_histograms(acceleration, accelerated))
    return MotionHistograms(np.concatenate(velocities), np.concatenate(accelerations))


def _finite(tracks: np.ndarray, visibility: np.ndarray | None) -> bool:
    """Whether every position that counts is finite."""
    finite = np.isfinite(tracks).all(axis=-1)
    return bool(finite.all() if visibility is None else finite[visibility].all())


def _checked_visibility(visibility: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    visibility = np.asarray(visibility)
    if visibility.dtype != bool or visibility.shape != shape:
        raise ValueError(f"visibility: expected bool {list(shape)}, got {visibility.dtype} {list(visibility.shape)}")
    return visibility


def _direction_histograms(vectors: np.ndarray, counted: np.ndarray | None) -> np.ndarray:
    """Per cube of 4 frames x 5x5 points, how much motion there is in each of 8 directions: [N, cubes * 8].

    Args:
        vectors: [N, T, H, W, 2]
        counted: bool [N, T, H, W]; the vectors of the others, which need not be finite, are zero. None: all count.
    """
    sets, frames, rows, columns, _ = vectors.shape
    cubes = (frames // _CUBE_FRAMES, rows // _CUBE_POINTS, columns // _CUBE_POINTS)
    whole = np.s_[:, : cubes[0] * _CUBE_FRAMES, : cubes[1] * _CUBE_POINTS, : cubes[2] * _CUBE_POINTS]
    vectors = vectors[whole]
    if counted is not None:
        vectors = np.where(counted[whole][..., None], vectors, 0)
    x, y = vectors[..., 0], vectors[..., 1]
    angle = np.arctan2(x, y)  # x first, as the published code has it
    direction = np.minimum(np.floor((angle + np.pi) / (2 * np.pi / _ANGLE_BINS)).astype(np.int64), _ANGLE_BINS - 1)
    speed = np.clip(np.hypot(x, y), 0, 255)
    weight = np.ceil(np.clip(np.log2(speed + 1), 0, 8)) / 8
    cube = np.arange(sets * cubes[0] * cubes[1] * cubes[2]).reshape(sets, cubes[0], 1, cubes[1], 1, cubes[2], 1)
    in_cubes = (sets, cubes[0], _CUBE_FRAMES, cubes[1], _CUBE_POINTS, cubes[2], _CUBE_POINTS)
    bins = cube * _ANGLE_BINS + direction.reshape(in_cubes)
    return np.bincount(bins.ravel(), weight.ravel(), cube.size * _ANGLE_BINS).reshape(sets, -1)


def _frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 ((C_a + eps I)(C_b + eps I))^(1/2)) of features [N, F] and [M, F]."""
    difference = a.mean(axis=0) - b.mean(axis=0)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    features, still = a.shape[1], 0
    if len(a) + len(b) < features:
        # Both covariances live in the span of the rows; across it each is zero and the root is eps itself.
        # With X^T = Q R, the rows of R^T are those of X in the basis Q of that span.
        in_span = np.linalg.qr(np.concatenate([a, b]).T, mode="r").T
        still = features - in_span.shape[1]
        a, b = in_span[: len(a)], in_span[len(a) :]
    covariance_a, covariance_b = a.T @ a / (len(a) - 1), b.T @ b / (len(b) - 1)
    ridge = _FRECHET_EPSILON * np.eye(len(covariance_a))
    # C_a = L L^T, and L^T C_b L has the eigenvalues of C_a C_b while being symmetric.
    lower = np.linalg.cholesky(covariance_a + ridge)
    eigenvalues = np.linalg.eigvalsh(lower.T @ (covariance_b + ridge) @ lower)
    root_trace = np.sqrt(np.maximum(eigenvalues, 0)).sum() + still * _FRECHET_EPSILON
    return float(difference @ difference + np.trace(covariance_a) + np.trace(covariance_b) - 2 * root_trace)
