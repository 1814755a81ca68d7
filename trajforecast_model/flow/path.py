"""Rectified flow's straight path from noise (t = 0) to data (t = 1), its loss, and the known first frame.

Tensors are [B, T, C, h, w]; frame 0 is known: it stays clean in every x_t, and velocity and loss leave it out
(WHN section 3.3).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]


def logit_normal_timesteps(normal: Tensor) -> Tensor:
    """Flow times from standard normal noise of any shape: most in the middle, where the task is hardest."""
    return torch.sigmoid(normal)


def interpolate(noise: Tensor, data: Tensor, first: Tensor, t: Tensor) -> Tensor:
    """The point at time t between noise and data, its first frame replaced by the known one.

    Args:
        noise, data: [B, T, C, h, w]
        first: [B, 1, C, h, w], the known first frame.
        t: [B]
    """
    t = t.view(-1, 1, 1, 1, 1)
    x = (1 - t) * noise + t * data
    return torch.cat([first, x[:, 1:]], dim=1)


def flow_loss(velocity: Tensor, noise: Tensor, data: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error of the velocity against data - noise over the unknown frames.

    Args:
        velocity, noise, data: [B, T, C, h, w]
        weight: broadcastable to [B, T - 1, C, h, w]; None weighs everything alike.
    """
    target = (data - noise)[:, 1:]
    if weight is None:
        return F.mse_loss(velocity[:, 1:].float(), target)
    return (weight * (velocity[:, 1:].float() - target) ** 2).mean()
