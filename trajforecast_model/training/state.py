"""All that a step changes, and so all that a checkpoint must hold for a run to go on as if nothing had happened."""

import math

import torch
from torch import nn

from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.ema import ExponentialMovingAverage


class TrainingState:
    def __init__(self, model: nn.Module, optimisation: OptimisationConfig, settings: dict, weights: dict[str, str]):
        """A state of another config or of other weights is not loaded.

        Args:
            settings: by name, what of the config makes it this run and no other.
            weights: a digest of the weights of each network that the run uses and does not train, and of those that it
                starts from.
        """
        self.step = 0  # optimiser steps done
        self.validated = 0  # the last step that was validated
        self.best_score = math.inf  # least validation score so far
        self.average = ExponentialMovingAverage(model, optimisation.ema_decay)
        self._settings, self._weights = settings, weights
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

    @property
    def num_bytes(self) -> int:
        """Of what `to_dict` gives, about: weights, their average and the optimiser's two moments."""
        return 4 * sum(parameter.nbytes for parameter in self.parameters)

    def checksum(self) -> float:
        """Differs, in all likelihood, where weights or their average differ."""
        weights = (*self.parameters, *self._averaged.values())
        return torch.stack([weight.detach().double().abs().sum() for weight in weights]).sum().item()

    def to_dict(self) -> dict:
        return {
            "settings": self._settings,
            "weights": self._weights,
            "step": self.step,
            "validated": self.validated,
            "best_score": self.best_score,
            "model": {name: parameter.detach() for name, parameter in self._trained.items()},
            "average": self._averaged,
            "optimiser": self._optimiser.state_dict(),
        }

    @torch.no_grad()
    def load(self, saved: dict) -> None:
        """Raises ValueError where it was saved under another config, or with other weights beside it."""
        if "settings" not in saved:
            raise ValueError(
                "`out` holds a run of an older version, which cannot go on: choose another `out`, or delete that folder"
            )
        if changed := _differences(saved["settings"], self._settings):
            raise ValueError(
                f"`out` holds a run of another config: {'; '.join(changed.values())}. Put that back, choose another `out`, or "
                "delete that folder to start over"
            )
        if changed := _differences(saved["weights"], self._weights):
            raise ValueError(
                f"`out` holds a run that began with other weights of its {' and '.join(changed)} (digest of "
                f"{'; '.join(changed.values())}): put those back, choose another `out`, or delete that folder to start over"
            )
        self.step, self.best_score, self.validated = saved["step"], saved["best_score"], saved["validated"]
        for part, parameters in (("model", self._trained), ("average", self._averaged)):
            for name, parameter in parameters.items():
                parameter.copy_(saved[part][name])
        self._optimiser.load_state_dict(saved["optimiser"])


def _differences(was: dict, now: dict) -> dict[str, str]:
    """What differs, in words, by its name."""
    return {
        name: f"{name} was {was.get(name)!r}, is {now.get(name)!r}"
        for name in dict.fromkeys([*was, *now])
        if was.get(name) != now.get(name)
    }
