"""The gradients of a step: of a rank's micro-batches, and the mean over all ranks.

By PyTorch's DistributedDataParallel each rank gets all of them, by its FSDP2 those of its part of the weights.
"""

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
from trajforecast_model.training.sharding import (
    average_what_is_not_divided,
    check_can_shard,
    clip_gradients,
    shard,
)

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
    """Fills the `grad` of a model's trained parameters: the same on every rank, or those of its part of a divided model.

    Where there are several ranks, gradients are summed block by block while the backward pass still goes on.
    """

    def __init__(self, loss: Loss, model: nn.Module, optimisation: OptimisationConfig, world: World):
        """Called on every rank, at the same state of the model, which is divided among them here if that is asked for.

        Raises:
            ValueError: where gradients are to be compressed between CPUs, or a model cannot be divided.
        """
        self._model, self._world = model, world
        self._autocast = optimisation.precision == "bfloat16"
        self._loss: nn.Module = _LossModule(loss, model)
        self._shared: DistributedDataParallel | None = None
        self._is_divided, self._rehearsals = False, 0
        if world.is_shared:
            if optimisation.compress_gradients and world.device.type == "cpu":
                raise ValueError(
                    "optimisation.compress_gradients: bf16 is for GPUs, PyTorch does not do it between CPUs; set it to false"
                )
            if optimisation.parallel == "fsdp":
                check_can_shard(optimisation)
            with world.lost_ranks_explained():
                self._share(optimisation)

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
        if self._is_divided:
            average_what_is_not_divided(self._trained(), self._world)
        return totals

    def clip(self, limit: float) -> Tensor:
        """Scales the gradients so that the norm of all together is at most `limit`; their norm before.

        Raises:
            ConnectionError: where another rank has ended.
        """
        if not self._is_divided:
            return nn.utils.clip_grad_norm_(self._trained(), limit)
        return clip_gradients(self._trained(), limit, self._world)

    def _share(self, optimisation: OptimisationConfig) -> None:
        if optimisation.parallel == "fsdp":
            shard(self._loss, self._world, bool(optimisation.compress_gradients))
            self._is_divided = True
            return
        with warnings.catch_warnings():
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
        self._rehearsals = _REHEARSALS

    def _trained(self) -> list[nn.Parameter]:
        return [weight for weight in self._model.parameters() if weight.requires_grad]

    def _backward(self, batch: Batch, noise: WindowNoise, mean_weight: Tensor, share: float) -> dict[str, Tensor]:
        with self._world.lost_ranks_explained():
            # A kept cast of a weight would outlive the block that was put together for a pass without gradients, and the
            # pass with gradients would take it: they would end there.
            cast = dict(enabled=self._autocast, cache_enabled=not self._is_divided)
            with torch.autocast(self._world.device.type, torch.bfloat16, **cast):
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
