"""Exponential moving average of the trained weights: what validation and the exported checkpoint use."""

import copy

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class ExponentialMovingAverage:
    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        # Frozen encoders are shared, not copied: they are large, and averaging them with themselves adds rounding.
        frozen = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
        self.model = copy.deepcopy(model, frozen).eval()
        self._pairs = [
            (ours, theirs)
            for ours, theirs in zip(self.model.parameters(), model.parameters(), strict=True)
            if theirs.requires_grad
        ]
        self.model.requires_grad_(False)

    def update(self, step: int) -> None:
        # Early on the average must not hold on to the random start.
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged, current = map(list, zip(*self._pairs, strict=True))
        get_ema_multi_avg_fn(decay)(averaged, current, step)
