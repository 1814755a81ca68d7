"""What k sampled futures say together: their mean, their spread and their most central member.

Works on numpy arrays and torch tensors alike. x and y are handled apart: reducing over a last axis of two is ten times
slower.
"""


def mean_track(tracks):
    """The average of the samples ("MeanT"): [k, T, H, W, 2] -> [T, H, W, 2], pixels."""
    return tracks.mean(axis=0)


def spread(tracks):
    """Root mean square distance of the samples to their mean: [k, T, H, W, 2] -> [T, H, W], pixels."""
    variance = sum(((x - x.mean(axis=0)) ** 2).mean(axis=0) for x in (tracks[..., 0], tracks[..., 1]))
    return variance**0.5


def medoid(tracks) -> int:
    """Index of the sample with the least mean distance to the other samples.

    The distance between two samples is the Euclidean distance of their points, averaged over time and grid.
    Without the truth this is the sample of least expected error under the model's own distribution.

    Args:
        tracks: [k, T, H, W, 2], pixels.
    """
    k = len(tracks)
    x, y = (tracks[..., axis].reshape(k, -1) for axis in (0, 1))  # [k, T * H * W]
    total = [0.0] * k  # of the distances to all others
    for i in range(1, k):
        distances = (((x[:i] - x[i]) ** 2 + (y[:i] - y[i]) ** 2) ** 0.5).mean(axis=1)  # to each sample before it
        for j, distance in enumerate(distances.tolist()):
            total[i] += distance
            total[j] += distance
    return total.index(min(total))
