"""What k sampled futures say together: their mean, their spread and their most central member."""

import numpy as np


def mean_track(tracks: np.ndarray) -> np.ndarray:
    """The average of the samples ("MeanT"): [k, T, H, W, 2] -> [T, H, W, 2], pixels."""
    return tracks.mean(axis=0)


def spread(tracks: np.ndarray) -> np.ndarray:
    """Root mean square distance of the samples to their mean: [k, T, H, W, 2] -> [T, H, W], pixels."""
    return np.sqrt(tracks.var(axis=0).sum(axis=-1))


def medoid(tracks: np.ndarray) -> int:
    """Index of the sample with the least mean distance to the other samples.

    The distance between two samples is the Euclidean distance of their points, averaged over time and grid.
    Without the truth this is the sample of least expected error under the model's own distribution.

    Args:
        tracks: [k, T, H, W, 2], pixels.
    """
    k = len(tracks)
    distances = np.zeros((k, k))
    for i in range(k):
        for j in range(i):
            distances[i, j] = distances[j, i] = np.linalg.norm(tracks[i] - tracks[j], axis=-1).mean()
    return int(distances.sum(axis=1).argmin())
