"""What k sampled futures say together: their mean, their spread and their most central member."""

import numpy as np


def mean_track(tracks: np.ndarray) -> np.ndarray:
    """The average of the samples ("MeanT"): [k, T, H, W, 2] -> [T, H, W, 2], pixels."""
    return tracks.mean(axis=0)


def spread(tracks: np.ndarray) -> np.ndarray:
    """Root mean square distance of the samples to their mean: [k, T, H, W, 2] -> [T, H, W], pixels."""
    variance = tracks.var(axis=0)
    return np.sqrt(variance[..., 0] + variance[..., 1])


def medoid(tracks: np.ndarray) -> int:
    """Index of the sample with the least mean distance to the other samples.

    The distance between two samples is the Euclidean distance of their points, averaged over time and grid.
    Without the truth this is the sample of least expected error under the model's own distribution.

    Args:
        tracks: [k, T, H, W, 2], pixels.
    """
    k = len(tracks)
    # x and y apart: reducing over a last axis of two is ten times slower.
    xy = np.ascontiguousarray(np.moveaxis(tracks, -1, 1)).reshape(k, 2, -1)  # [k, 2, T * H * W]
    distances = np.zeros((k, k))
    for i in range(1, k):
        squared = (xy[:i] - xy[i]) ** 2  # to each sample before it
        distances[i, :i] = distances[:i, i] = np.sqrt(squared[:, 0] + squared[:, 1]).mean(axis=-1)
    return int(distances.sum(axis=1).argmin())
