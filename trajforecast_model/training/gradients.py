"""The gradients of a step: of a rank's micro-batches, and by PyTorch's DistributedDataParallel the mean over all ranks."""

import copy
import warnings
from contextlib import nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from trajforecast_model.training.batches import Batch
from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.noise import WindowNoise

# DDP lays its buckets out anew, in the order in which gradients come, and sums in another layout may be rounded otherwise.
# So that a resumed run has in every step the layout of the undisturbed one, a process begins with backward passes that
# count for nothing: of a static graph, the first one looks which parameters are used and the second one at their order.
_REHEARSALS = 2

Part = tuple[Batch, WindowNoise]  # a micro-batch and its noise


class Loss(Protocol):
    def __call__(
        self, model: nn.Module, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and figures to log beside it; see loop.Stage."""


class StepGradients:
    """Fills the `grad` of a model's trained parameters; they are the same on every rank.

    Where there are several ranks, the buckets of gradients are summed while the backward pass still goes on.
    """

    def __init__(self, loss: Loss, model: nn.Module, optimisation: OptimisationConfig, world: World):
        """Called on every rank, at the same state of the model.

        Raises:
            ValueError: where gradients are to be compressed between CPUs.
        """
        self._model, self._world = model, world
        self._autocast = optimisation.precision == "bfloat16"
        self._loss: nn.Module = _LossModule(loss, model)
        self._shared: DistributedDataParallel | None = None
        if world.size > 1:
            if optimisation.compress_gradients and world.device.type == "cpu":
                raise ValueError(
                    "optimisation.compress_gradients: bf16 is for GPUs, PyTorch does not do it between CPUs; set it to false"
                )
            with world.lost_ranks_explained(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # newer versions give broadcast_buffers another name
                self._shared = self._loss = DistributedDataParallel(
                    self._loss,
                    static_graph=not optimisation.compile,  # torch.compile splits its graphs where buckets end
                    find_unused_parameters=optimisation.compile,  # of a static graph they are known from the rehearsal
                    gradient_as_bucket_view=True,
                    broadcast_buffers=False,  # none of them changes
                )
            if optimisation.compress_gradients:
                self._shared.register_comm_hook(None, bf16_compress_hook)
        self._rehearsals = 0 if self._shared is None else _REHEARSALS

    def compute(self, parts: list[Part], mean_weight: Tensor) -> dict[str, Tensor]:
        """The mean over `parts` of the loss, under "loss", and of the figures beside it, all of this rank.

        Raises:
            ConnectionError: where another rank has ended.
        """
        for _ in range(self._rehearsals):
            batch, noise = parts[0]
            self._backward(batch, copy.copy(noise), mean_weight, share=1.0)  # the step itself draws the same noise
        self._rehearsals = 0
        self._model.zero_grad()
        totals: dict[str, Tensor] = {}
        for number, (batch, noise) in enumerate(parts, start=1):
            is_last = number == len(parts)
            with nullcontext() if is_last or self._shared is None else self._shared.no_sync():
                figures = self._backward(batch, noise, mean_weight, share=1 / len(parts))
            for name, value in figures.items():
                totals[name] = totals.get(name, 0) + value / len(parts)
        return totals

    def _backward(self, batch: Batch, noise: WindowNoise, mean_weight: Tensor, share: float) -> dict[str, Tensor]:
        with self._world.lost_ranks_explained():
            with torch.autocast(self._world.device.type, torch.bfloat16, enabled=self._autocast):
                loss, figures = self._loss(batch, noise, mean_weight)
            (loss * share).backward()
        return {"loss": loss.detach()} | figures


class _LossModule(nn.Module):
    """The loss as a forward of one module. DDP only sees what runs there, while a loss calls parts of the model."""

    def __init__(self, loss: Loss, model: nn.Module):
        super().__init__()
        self.model, self._of_model = model, loss

    def forward(self, batch: Batch, noise: WindowNoise, mean_weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self._of_model(self.model, batch, noise, mean_weight)
