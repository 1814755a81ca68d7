"""What k sampled futures say together: their mean, their spread and their most central member.

Plain loops in place of one broadcast expression: what a step needs then stays in the processor's cache. x and y are
handled apart: reducing over a last axis of two is ten times slower.
"""

import numpy as np

CHUNK = 8192  # points of every sample that are compared together
NEARNESS_GRID = 8  # rows and columns of the grid that are enough to tell which samples are near each other


def mean_track(tracks: np.ndarray) -> np.ndarray:
    """The average of the samples ("MeanT"): [k, T, H, W, 2] -> [T, H, W, 2], pixels."""
    return tracks.mean(axis=0)


def spread(tracks: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Root mean square distance of the samples to their mean: [k, T, H, W, 2] -> [T, H, W], pixels.

    Args:
        mean: [T, H, W, 2], what `mean_track` says of the same samples.
    """
    squares = np.zeros_like(mean)  # [T, H, W, 2], summed over the samples
    difference = np.empty_like(mean)
    for sample in tracks:
        np.subtract(sample, mean, out=difference)
        difference *= difference
        squares += difference
    return np.sqrt((squares[..., 0] + squares[..., 1]) / len(tracks))


def medoid(tracks: np.ndarray) -> int:
    """Index of the sample with the least mean distance to the other samples.

    The distance between two samples is the Euclidean distance of their points, averaged over time and grid.
    Without the truth this is the sample of least expected error under the model's own distribution.

    Args:
        tracks: [k, T, H, W, 2], pixels.
    """
    return int(_distances(tracks).sum(axis=1).argmin())


def confidence(tracks: np.ndarray) -> np.ndarray:
    """The share of the samples that lie near each: [k, T, H, W, 2] -> [k], which sums to 1.

    How near another sample lies is exp(-(d / h)^2 / 2), where d is the distance of `medoid`, taken over some 8 x 8
    points of the grid, and h is half the median of all d: 1 for a sample itself, 0.14 at the median distance. A sample's
    confidence is the sum of how near all samples lie to it, over the same sum for every sample.

    Args:
        tracks: [k, T, H, W, 2], pixels.
    """
    k = len(tracks)
    rows, columns = (slice(None, None, max(1, length // NEARNESS_GRID)) for length in tracks.shape[2:4])
    distances = _distances(tracks[:, :, rows, columns])
    width = np.median(distances[np.triu_indices(k, 1)]) / 2 if k > 1 else 0.0
    near = np.exp(-0.5 * (distances / width) ** 2) if width > 0 else distances == 0
    return near.sum(axis=1) / near.sum()


def _distances(tracks: np.ndarray) -> np.ndarray:
    """Between every two samples, over time and grid: [k, T, H, W, 2] -> float64 [k, k], summed over the points."""
    k = len(tracks)
    points = tracks.reshape(k, -1, 2)
    distances = np.zeros((k, k))  # float64, in which the order of summing changes nothing
    for start in range(0, points.shape[1], CHUNK):
        x, y = (points[:, start : start + CHUNK, axis].copy() for axis in (0, 1))  # [k, CHUNK]
        for i in range(1, k):
            # To each sample before it.
            dx, dy = x[:i] - x[i], y[:i] - y[i]
            dx *= dx
            dy *= dy
            dx += dy
            distances[i, :i] += np.sqrt(dx, out=dx).sum(axis=1)
    return distances + distances.T
