"""What k sampled futures say together: their mean, their spread and their most central member.

Plain loops in place of one broadcast expression: what a step needs then stays in the processor's cache. x and y are
handled apart: reducing over a last axis of two is ten times slower.
"""

import numpy as np

CHUNK = 8192  # points of every sample that the medoid looks at together


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
    k = len(tracks)
    points = tracks.reshape(k, -1, 2)
    distances = np.zeros((k, k))  # summed over the points; float64, in which the order of summing changes nothing
    for start in range(0, points.shape[1], CHUNK):
        x, y = (points[:, start : start + CHUNK, axis].copy() for axis in (0, 1))  # [k, CHUNK]
        for i in range(1, k):
            # To each sample before it.
            dx, dy = x[:i] - x[i], y[:i] - y[i]
            dx *= dx
            dy *= dy
            dx += dy
            distances[i, :i] += np.sqrt(dx, out=dx).sum(axis=1)
    return int((distances + distances.T).sum(axis=1).argmin())
