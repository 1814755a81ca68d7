"""Run by torchrun on three ranks: gradients of a step, of DistributedDataParallel, and of one that begins later."""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trajforecast_model.training.batches import Batch, BatchShare
from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.distributed import World, join_world
from trajforecast_model.training.gradients import StepGradients
from trajforecast_model.training.noise import WindowNoise

OPTIMISATION = OptimisationConfig(steps=4, batch_size=12, accumulate=2, precision="float32")
WIDTH = 700  # a layer of 2 MB: DDP's buckets are several


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.last = nn.Linear(WIDTH, 1)  # not in the order of the forward pass, nor of the backward one
        self.middle = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.first = nn.Linear(16, WIDTH)

    def error(self, x: Tensor) -> Tensor:
        x = self.first(self.frozen(x))
        for layer in self.middle:
            x = layer(x).tanh()
        return self.last(x).square()


def loss(model: Network, batch: None, noise: WindowNoise, mean_weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    error = model.error(noise.normal(16)).mean() / mean_weight
    return error, {"error": error.detach()}


def gradients_of_steps(
    model: Network, steps: range, world: World, config: OptimisationConfig = OPTIMISATION
) -> list[dict[str, Tensor]]:
    """What one process would compute from its start at steps[0]; the model takes a step after each."""
    share = BatchShare(config.batch_size, config.accumulate, world.rank, world.size)
    gradients = StepGradients(loss, model, config, world)
    assert isinstance(gradients._loss, DistributedDataParallel) == (world.size > 1)
    history = []
    for step in steps:
        parts: list[tuple[Batch | None, WindowNoise]] = [
            (None, WindowNoise(0, step, positions, world.device)) for positions in share.micro_batches
        ]
        totals = gradients.compute(parts, torch.tensor(2.0))
        assert totals["loss"] == totals["error"]
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        history.append({name: parameter.grad.clone() for name, parameter in trained.items()})
        with torch.no_grad():
            for parameter in trained.values():
                parameter -= 0.01 * parameter.grad
    return history


def largest_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """As a share of the largest gradient of its parameter."""
    return max(((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()).item() for name in theirs)


with join_world() as world:
    torch.manual_seed(0)
    start = Network()
    alone = gradients_of_steps(copy.deepcopy(start), range(1), World(world.device))[0]

    undisturbed = copy.deepcopy(start)
    history = gradients_of_steps(undisturbed, range(4), world)
    assert largest_difference(history[0], alone) < 1e-5

    resumed = copy.deepcopy(start)
    gradients_of_steps(resumed, range(2), world)
    later = gradients_of_steps(resumed, range(2, 4), world)
    for step, gradients in enumerate(later, start=2):
        for name, gradient in gradients.items():
            assert torch.equal(gradient, history[step][name]), (step, name)
    assert all(map(torch.equal, resumed.parameters(), undisturbed.parameters()))

    with pytest.raises(ValueError, match="compress_gradients: bf16 is for GPUs"):
        gradients_of_steps(resumed, range(1), world, dataclasses.replace(OPTIMISATION, compress_gradients="bf16"))
    world.check_same(gradients=sum(gradient.double().sum().item() for gradient in later[-1].values()))
