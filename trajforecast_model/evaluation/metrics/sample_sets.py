"""What a set of sampled futures is worth as a distribution, and how diverse it is. Pure numpy.

Symbols: k samples, T frames, P points, S scenes. Lengths in pixels.
"""

import numpy as np

from trajforecast_model.evaluation.metrics.errors import Coordinates, over_coordinates, samples_and_truth


def energy_score(samples: np.ndarray, truth: np.ndarray, fair: bool = False) -> float:
    """The energy score of a set of samples, px: lower is better, and least in expectation for the true distribution.

    ES = 1/k sum_i d(x_i, y) - 1/(2 k^2) sum_ij d(x_i, x_j), where d is the root of the squared distance averaged over
    time and points (Gneiting and Raftery 2007, eq. 22, with beta = 1).

    Args:
        samples: [k, T, P, 2]
        truth: [T, P, 2]
        fair: divide the second sum by 2 k (k - 1) instead (Ferro 2014): the samples count as draws from a distribution
            and not as the whole of it, so that different k may be compared. Needs two samples.

    Raises:
        ValueError: where the shapes do not belong together, or for the fair score of one sample.
    """
    samples, truth = samples_and_truth(samples, truth)
    k = len(samples)
    if fair and k < 2:
        raise ValueError("fair: the fair energy score needs at least two samples")
    to_truth = _root_mean_square_distance(samples, truth[None]).mean()
    between = sum(_root_mean_square_distance(samples, sample[None]).sum() for sample in samples)
    pairs = k * (k - 1) if fair else k * k
    return float(to_truth - between / (2 * pairs))


def scene_sample_variance(samples: np.ndarray, coordinates: Coordinates = "sum") -> float:
    """How much the futures of one scene differ, px^2: their variance, averaged over times, points and scenes (WHN).

    The variance is the mean square distance to the samples' average (divided by K, not K - 1), so that for the samples
    of a forecast Mean = MeanT + this.

    Args:
        samples: [S, K, T, ..., 2], K futures of each of S scenes.
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim < 4 or samples.shape[-1] != 2 or 0 in samples.shape:
        raise ValueError(f"samples: expected futures of scenes [S, K, T, ..., 2], got {list(samples.shape)}")
    return float(np.mean([over_coordinates(futures.var(axis=0), coordinates).mean() for futures in samples]))


def _root_mean_square_distance(samples: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.sqrt(((samples - other) ** 2).sum(axis=-1).mean(axis=(1, 2)))
