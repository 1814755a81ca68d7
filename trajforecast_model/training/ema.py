"""Exponential moving average of the trained weights: what validation and the exported checkpoint use."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from trajforecast_model.training.sharding import is_divided, part, part_of, whole


class ExponentialMovingAverage:
    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        # Frozen encoders are shared, not copied: they are large, and averaging them with themselves adds rounding.
        frozen = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
        self._model = copy.deepcopy(model, frozen).eval().requires_grad_(False)
        self._current = trained_weights(model)
        averaged = dict(self._model.named_parameters())
        # By name, this rank's part of each: all of it, unless the model is divided.
        self.weights: dict[str, Tensor] = {name: averaged[name] for name in self._current}
        self._divided: dict[str, nn.Parameter] = {}  # of the averaged model, empty unless it is in use

    def update(self, step: int) -> None:
        # Early on the average must not hold on to the random start.
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [part(weight) for weight in self._current.values()]
        get_ema_multi_avg_fn(decay)(list(self.weights.values()), current, step)

    @contextmanager
    def whole_model(self) -> Iterator[nn.Module]:
        """The averaged model, to use while it is open. Called on every rank."""
        for name, place in self._divided.items():
            place.data = whole(self.weights[name], self._current[name])
        try:
            yield self._model
        finally:
            _empty(self._divided)

    def keep_parts(self, model: nn.Module, device: torch.device) -> None:
        """Keeps no more than this rank's parts of the average of a model that is divided now (sharding.py)."""
        self._current = trained_weights(model)
        averaged = dict(self._model.named_parameters())
        self._divided = {name: averaged[name] for name, weight in self._current.items() if is_divided(weight)}
        for name, place in self._divided.items():
            self.weights[name] = part_of(place.detach(), self._current[name])
        _empty(self._divided)
        self._model.to(device)


def trained_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _empty(weights: dict[str, nn.Parameter]) -> None:
    for weight in weights.values():
        weight.data = weight.data.new_empty(0)
