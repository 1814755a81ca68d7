"""Do the points of an object move as one body? Pure numpy."""

from collections.abc import Iterable

import numpy as np


def lrtl(tracks: np.ndarray, rank: int = 5, normalised: bool = False) -> float:
    """Low-rank trajectory loss of one object: how far its tracks are from a rigid motion under an affine camera (WHN).

    The root of the summed squares of the singular values after the `rank`-th of the uncentred [2 T, N] matrix of
    coordinates. The published scale is pixels of a 256-px image.

    Args:
        tracks: [T, N, 2], the points of one object.
        normalised: divide by sqrt(T N): the root mean square distance, px, of a position to its rank-limited
            approximation, which objects of different numbers of points and frames have in common.
    """
    tracks = np.asarray(tracks, np.float64)
    if tracks.ndim != 3 or tracks.shape[-1] != 2 or 0 in tracks.shape:
        raise ValueError(f"tracks: expected the points of one object, [T, N, 2], got {list(tracks.shape)}")
    if not np.isfinite(tracks).all():
        raise ValueError("tracks: some positions are not finite; leave points without a position out")
    frames, points, _ = tracks.shape
    matrix = tracks.transpose(0, 2, 1).reshape(2 * frames, points)
    loss = float(np.sqrt((np.linalg.svd(matrix, compute_uv=False)[rank:] ** 2).sum()))
    return loss / (frames * points) ** 0.5 if normalised else loss


def mean_lrtl(objects: Iterable[np.ndarray], rank: int = 5, normalised: bool = False) -> float:
    """`lrtl` of each object's tracks [T, N, 2] (their N may differ), averaged: every object counts the same."""
    losses = [lrtl(tracks, rank, normalised) for tracks in objects]
    if not losses:
        raise ValueError("objects: got none, expected the tracks of at least one")
    return float(np.mean(losses))
