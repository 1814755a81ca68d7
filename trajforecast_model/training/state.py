"""All that a step changes, and so all that a checkpoint must hold for a run to go on as if nothing had happened."""

import math

import torch
from torch import nn

from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.ema import ExponentialMovingAverage


class TrainingState:
    def __init__(self, model: nn.Module, optimisation: OptimisationConfig, fingerprint: str):
        """`fingerprint` names the config: a state of another one is not loaded."""
        self.step = 0  # optimiser steps done
        self.best_score = math.inf  # least validation score so far
        self.average = ExponentialMovingAverage(model, optimisation.ema_decay)
        self._fingerprint = fingerprint
        # Frozen encoders come from where they came from; a state holds what is trained.
        self._trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._averaged = {name: dict(self.average.model.named_parameters())[name] for name in self._trained}
        self._optimiser = torch.optim.AdamW(
            self.parameters, lr=optimisation.learning_rate, weight_decay=optimisation.weight_decay, fused=True
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self._trained.values())

    def update(self, learning_rate: float) -> None:
        """One optimiser step with the gradients that the parameters hold."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.step()
        self.average.update(self.step)
        self.step += 1

    def checksum(self) -> float:
        """Differs, in all likelihood, where weights or their average differ."""
        weights = (*self.parameters, *self._averaged.values())
        return torch.stack([weight.detach().double().abs().sum() for weight in weights]).sum().item()

    def to_dict(self) -> dict:
        return {
            "fingerprint": self._fingerprint,
            "step": self.step,
            "best_score": self.best_score,
            "model": {name: parameter.detach() for name, parameter in self._trained.items()},
            "average": self._averaged,
            "optimiser": self._optimiser.state_dict(),
        }

    @torch.no_grad()
    def load(self, saved: dict) -> None:
        """Raises ValueError where it was saved under another config."""
        if saved["fingerprint"] != self._fingerprint:
            raise ValueError(
                "`out` holds a run of another config: choose another `out`, or delete that folder to start over"
            )
        self.step, self.best_score = saved["step"], saved["best_score"]
        for part, parameters in (("model", self._trained), ("average", self._averaged)):
            for name, parameter in parameters.items():
                parameter.copy_(saved[part][name])
        self._optimiser.load_state_dict(saved["optimiser"])
