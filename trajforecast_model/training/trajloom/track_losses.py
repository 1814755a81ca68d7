"""The losses of TrajLoom's track VAE (arXiv 2603.22606): masked Huber, KL, and a regulariser of motion in space and time.

Tracks are normalised, [B, T, 2, rows, columns]; weights are [B, T, rows, columns], 0 where a point is hidden: such points
count for nothing. Every loss is a mean over windows, in each of which it is a mean over what counts.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

HOPS = (1, 2, 4)  # cells between the neighbours that are compared, weighing 1, 1/2, 1/4 over their sum


def masked_huber(tracks: Tensor, truth: Tensor, weight: Tensor, delta: float) -> Tensor:
    """Huber loss of visible points, a mean over them and both coordinates."""
    error = F.huber_loss(tracks.float(), truth.float(), delta=delta, reduction="none").sum(2)  # over x and y
    return _weighted_mean(error, weight) / 2


def temporal_consistency(tracks: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """L1 error of velocity, for each point that is visible in both frames."""
    error = (_difference(tracks, 1, 1) - _difference(truth, 1, 1)).abs().sum(2)
    return _weighted_mean(error, _of_pairs(weight, 1, 1))


def spatial_consistency(tracks: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """L1 error of the distance between neighbours, horizontal and vertical, of which both are visible.

    A hop that is wider than the grid has no neighbours, and is 0.
    """
    total = tracks.new_zeros((), dtype=torch.float32)
    for hop in HOPS:
        errors, weights = [], []
        for axis in (-1, -2):
            error = (_difference(tracks, axis, hop) - _difference(truth, axis, hop)).abs().sum(2)
            errors.append(error.flatten(1))
            weights.append(_of_pairs(weight, axis, hop).flatten(1))
        total = total + _weighted_mean(torch.cat(errors, 1), torch.cat(weights, 1)) / hop
    return total / sum(1 / hop for hop in HOPS)


def kl_to_normal(mean: Tensor, std: Tensor) -> Tensor:
    """KL divergence of the posterior from the standard normal, a mean over everything."""
    mean, std = mean.float(), std.float()
    return 0.5 * (mean**2 + std**2 - 1 - 2 * std.log()).mean()


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """[B, ...] twice -> scalar; a window in which nothing counts is 0."""
    values, weight = values.flatten(1), weight.to(values.dtype).flatten(1)
    sums = weight.sum(1)
    return ((values * weight).sum(1) / torch.where(sums > 0, sums, 1)).mean()


def _difference(x: Tensor, axis: int, hop: int) -> Tensor:
    x, length = x.float(), x.shape[axis]
    return x.narrow(axis, min(hop, length), max(0, length - hop)) - x.narrow(axis, 0, max(0, length - hop))


def _of_pairs(weight: Tensor, axis: int, hop: int) -> Tensor:
    """Of two points, the lesser weight: 0 where one of them is hidden."""
    length = weight.shape[axis]
    pairs = max(0, length - hop)
    return torch.minimum(weight.narrow(axis, min(hop, length), pairs), weight.narrow(axis, 0, pairs))
