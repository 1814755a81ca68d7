"""Exponential moving average of the trained weights: what validation and the exported checkpoint use."""

import copy

import torch
from torch import nn


class ExponentialMovingAverage:
    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        # Early on the average must not hold on to the random start.
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged, current = list(self.model.parameters()), list(model.parameters())
        torch._foreach_mul_(averaged, decay)
        torch._foreach_add_(averaged, [p.detach() for p in current], alpha=1 - decay)
