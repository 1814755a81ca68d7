"""All that a step changes, and so all that a checkpoint must hold for a run to go on as if nothing had happened."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.ema import ExponentialMovingAverage, trained_weights
from trajforecast_model.training.sharding import is_divided, part, part_of, whole


class TrainingState:
    def __init__(
        self,
        model: nn.Module,
        optimisation: OptimisationConfig,
        settings: dict,
        weights: dict[str, str],
        defaults: dict | None = None,
    ):
        """A state of another config or of other weights is not loaded.

        Args:
            settings: by name, what of the config makes it this run and no other.
            weights: a digest of the weights of each network that the run uses and does not train, and of those that it
                starts from.
            defaults: what settings were in a run of a version that did not know them.
        """
        self.step = 0  # optimiser steps done
        self.validated = 0  # the last step that was validated
        self.best_score = math.inf  # least validation score so far
        self.average = ExponentialMovingAverage(model, optimisation.ema_decay)
        self._settings, self._weights = settings, weights
        self._defaults = {name: value for name, value in (defaults or {}).items() if name in settings}
        # Frozen encoders come from where they came from; a state holds what is trained.
        self._trained = trained_weights(model)
        self._optimisation = optimisation
        self._optimiser = self._new_optimiser()

    @property
    def parameters(self) -> list[nn.Parameter]:
        return list(self._trained.values())

    def keep_parts(self, model: nn.Module, device: torch.device) -> None:
        """Keeps no more than this rank's parts, once the model has been divided among the ranks (sharding.py)."""
        saved = self._optimiser.state_dict()
        self._trained = trained_weights(model)
        self.average.keep_parts(model, device)
        self._optimiser = self._new_optimiser()
        self._optimiser.load_state_dict(saved | {"state": self._of_each_moment(saved["state"], part_of)})

    def update(self, learning_rate: float) -> None:
        """One optimiser step with the gradients that the parameters hold."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        for own, weight in zip(self._own, self.parameters, strict=True):
            own.grad = None if weight.grad is None else part(weight.grad)
        self._optimiser.step()
        self.average.update(self.step)
        self.step += 1

    @property
    def num_bytes(self) -> int:
        """Of what `to_dict` gives, about: weights, their average and the optimiser's two moments."""
        return 4 * sum(parameter.nbytes for parameter in self.parameters)

    def checksum(self) -> float:
        """Differs, in all likelihood, where weights or their average differ. Of those that this rank has all of."""
        common = {name: weight for name, weight in self._trained.items() if not is_divided(weight)}
        weights = (*common.values(), *(self.average.weights[name] for name in common))
        return sum((weight.detach().double().abs().sum() for weight in weights), torch.zeros(())).item()

    def to_dict(self, keep: bool = True) -> dict:
        """Put together, where it is divided, on every rank; one that is not to keep it gets its numbers alone."""

        def put_together(own: Tensor, weight: nn.Parameter) -> Tensor | None:
            tensor = whole(own, weight)
            return tensor if tensor is own else tensor.cpu() if keep else None

        optimiser = self._optimiser.state_dict()
        return {
            "settings": self._settings,
            "weights": self._weights,
            "step": self.step,
            "validated": self.validated,
            "best_score": self.best_score,
            "model": {name: put_together(part(weight.detach()), weight) for name, weight in self._trained.items()},
            "average": {
                name: put_together(self.average.weights[name], weight) for name, weight in self._trained.items()
            },
            "optimiser": optimiser | {"state": self._of_each_moment(optimiser["state"], put_together)},
        }

    @torch.no_grad()
    def load(self, saved: dict) -> None:
        """Of a state that is not divided yet.

        Raises:
            ValueError: where it was saved under another config, or with other weights beside it.
        """
        if "settings" not in saved:
            raise _older_version()
        if changed := _differences(self._defaults | saved["settings"], self._settings):
            raise ValueError(
                f"`out` holds a run of another config: {'; '.join(changed.values())}. Put that back, choose another `out`, or "
                "delete that folder to start over"
            )
        if changed := _differences(saved["weights"], self._weights):
            raise ValueError(
                f"`out` holds a run that began with other weights of its {' and '.join(changed)} (digest of "
                f"{'; '.join(changed.values())}): put those back, choose another `out`, or delete that folder to start over"
            )
        if saved["model"].keys() != self._trained.keys():
            raise _older_version()
        self.step, self.best_score, self.validated = saved["step"], saved["best_score"], saved["validated"]
        for group, weights in (("model", self._trained), ("average", self.average.weights)):
            for name, weight in weights.items():
                weight.copy_(saved[group][name])
        self._optimiser.load_state_dict(saved["optimiser"])

    def _new_optimiser(self) -> torch.optim.AdamW:
        """Of this rank's parts."""
        config = self._optimisation
        self._own = [part(weight) for weight in self.parameters]
        return torch.optim.AdamW(self._own, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)

    def _of_each_moment(self, moments: dict, change: Callable[[Tensor, nn.Parameter], Tensor]) -> dict:
        return {
            number: {name: change(value, self.parameters[number]) for name, value in values.items()}
            for number, values in moments.items()
        }


def _older_version() -> ValueError:
    return ValueError(
        "`out` holds a run of an older version, which cannot go on: choose another `out`, or delete that folder"
    )


def _differences(was: dict, now: dict) -> dict[str, str]:
    """What differs, in words, by its name."""
    return {
        name: f"{name} was {was.get(name)!r}, is {now.get(name)!r}"
        for name in dict.fromkeys([*was, *now])
        if was.get(name) != now.get(name)
    }
