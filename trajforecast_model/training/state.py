"""All that a step changes, and so all that a checkpoint must hold for a run to go on as if nothing had happened."""

import math

import torch
from torch import nn

from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.ema import ExponentialMovingAverage


class TrainingState:
    def __init__(self, model: nn.Module, optimisation: OptimisationConfig, fingerprint: str, frozen: dict[str, str]):
        """A state of another config or beside other frozen networks is not loaded.

        Args:
            fingerprint: names the config.
            frozen: a digest of the weights of each network that the run uses and does not train.
        """
        self.step = 0  # optimiser steps done
        self.best_score = math.inf  # least validation score so far
        self.average = ExponentialMovingAverage(model, optimisation.ema_decay)
        self._fingerprint, self._frozen = fingerprint, frozen
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
            "frozen": self._frozen,
            "step": self.step,
            "best_score": self.best_score,
            "model": {name: parameter.detach() for name, parameter in self._trained.items()},
            "average": self._averaged,
            "optimiser": self._optimiser.state_dict(),
        }

    @torch.no_grad()
    def load(self, saved: dict) -> None:
        """Raises ValueError where it was saved under another config, or beside other frozen networks."""
        if saved["fingerprint"] != self._fingerprint:
            raise ValueError(
                "`out` holds a run of another config: choose another `out`, or delete that folder to start over"
            )
        began_with = saved.get("frozen", self._frozen)  # states of earlier versions do not tell
        if changed := [name for name, digest in self._frozen.items() if began_with.get(name) != digest]:
            raise ValueError(
                f"`out` holds a run that began with other weights of its {' and '.join(changed)}, which it does not train: "
                "put those back, choose another `out`, or delete that folder to start over"
            )
        self.step, self.best_score = saved["step"], saved["best_score"]
        for part, parameters in (("model", self._trained), ("average", self._averaged)):
            for name, parameter in parameters.items():
                parameter.copy_(saved[part][name])
        self._optimiser.load_state_dict(saved["optimiser"])
