"""How the camera moves, told from tracks alone, in words that serve as a caption ("the camera pans right and zooms in").

Most points are taken for background. Its motion between two frames is fitted by a similarity (shift, scale, turn) that the
half of the points with the least error agree on, so things that move by themselves do not count. What a camera does by
turning and what it does by going sideways look alike here: both are called pan, or tilt.

TrajLoom (arXiv 2603.22606, appendix E.2) adds such phrases to its captions; this definition of them is ours.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

THRESHOLD = 0.03  # image widths that the background moves at the image's left and right edges; less is called static
_INTERVALS = 8  # of a clip, between whose ends motion is fitted
_TRIALS = 200  # similarities through two points each
_LEAST_POINTS = 3
_INLIERS = 2.5  # robust standard deviations


class CameraMotion(NamedTuple):
    """Over a whole clip, as moves of the camera; 0 where it is still."""

    pan: float  # image widths, positive to the right
    tilt: float  # image widths, positive up
    zoom: float  # logarithm of the magnification, positive in
    roll: float  # radians, positive clockwise as seen from behind the camera


def camera_motion(tracks: np.ndarray, visible: np.ndarray | None, image_size: tuple[int, int]) -> CameraMotion:
    """The motion of the camera that best explains that of most points.

    Args:
        tracks: [T, N, 2] pixels of an image of `image_size` (height, width), x right and y down.
        visible: [T, N], the positions that count; None for all. Those that are not finite never do.

    Raises:
        ValueError: for other shapes, or where no two frames show the same three points.
    """
    tracks = np.asarray(tracks, dtype=np.float64)
    if tracks.ndim != 3 or tracks.shape[-1] != 2 or len(tracks) < 2:
        raise ValueError(f"tracks: got {list(tracks.shape)}, expected [T, N, 2] of two frames or more")
    counts = np.isfinite(tracks).all(-1)
    if visible is not None:
        if np.shape(visible) != counts.shape:
            raise ValueError(f"visible: got {list(np.shape(visible))}, expected {list(counts.shape)}")
        counts &= np.asarray(visible).astype(bool)
    height, width = image_size
    points = ((tracks[..., 0] - width / 2) + 1j * (tracks[..., 1] - height / 2)) / width  # from the image's centre
    frames = np.unique(np.linspace(0, len(tracks) - 1, _INTERVALS + 1).round().astype(int))
    moves = []
    for before, after in pairwise(frames):
        both = counts[before] & counts[after]
        if both.sum() >= _LEAST_POINTS:
            moves.append(_similarity(points[before, both], points[after, both]))
    if not moves:
        raise ValueError(
            f"tracks: no two frames show the same {_LEAST_POINTS} points, of which a camera's motion is told"
        )
    turn = sum(np.log(factor) for factor, _ in moves)
    shift = sum(shift for _, shift in moves)
    # The camera goes the other way than what it sees; y is down in the image.
    return CameraMotion(pan=-shift.real, tilt=shift.imag, zoom=turn.real, roll=-turn.imag)


def camera_phrase(motion: CameraMotion, threshold: float = THRESHOLD) -> str:
    """In words, the larger motion first; those below `threshold` are not told.

    Args:
        threshold: image widths that the background moves, for zoom and roll at the image's left and right edges.
    """
    told = {
        "pans right" if motion.pan > 0 else "pans left": abs(motion.pan),
        "tilts up" if motion.tilt > 0 else "tilts down": abs(motion.tilt),
        "zooms in" if motion.zoom > 0 else "zooms out": abs(math.expm1(motion.zoom)) / 2,
        "rolls clockwise" if motion.roll > 0 else "rolls counter-clockwise": abs(motion.roll) / 2,
    }
    words = [phrase for phrase, size in sorted(told.items(), key=lambda item: -item[1]) if size >= threshold]
    if not words:
        return "the camera is static"
    *others, last = words
    return f"the camera {', '.join(others)} and {last}" if others else f"the camera {last}"


def _similarity(before: np.ndarray, after: np.ndarray) -> tuple[complex, complex]:
    """(a, b) of after = a * before + b, for complex points [N]: the least median of errors, then least squares."""
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, len(before), _TRIALS) for _ in range(2))
    base = before[second] - before[first]
    apart = np.abs(base) > 1e-9
    if not apart.any():  # all points in one place: a shift is all that can be told
        return 1 + 0j, complex(np.median(after.real - before.real), np.median(after.imag - before.imag))
    a = (after[second] - after[first])[apart] / base[apart]
    b = after[first][apart] - a * before[first][apart]
    errors = np.abs(a[:, None] * before + b[:, None] - after)  # [trials, N]
    best = errors[np.argmin(np.median(errors, axis=1))]
    inlier = best <= max(_INLIERS * 1.4826 * float(np.median(best)), 1e-9)
    x, y = before[inlier], after[inlier]
    x_mean, y_mean = x.mean(), y.mean()
    spread = (np.abs(x - x_mean) ** 2).sum()
    factor = (np.conj(x - x_mean) * (y - y_mean)).sum() / spread if spread > 1e-12 else 1 + 0j
    if abs(factor) < 1e-6:
        factor = 1 + 0j
    return complex(factor), complex(y_mean - factor * x_mean)
