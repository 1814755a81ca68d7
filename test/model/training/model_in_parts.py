"""Run by torchrun on two ranks: a model that is divided among them trains as whole ones do, and goes on from its state."""

import dataclasses
import io

import pytest
import torch
from torch import Tensor, nn

from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.training.batches import Batch, BatchShare
from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.distributed import World, join_world
from trajforecast_model.training.gradients import StepGradients
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.sharding import is_divided, part
from trajforecast_model.training.state import TrainingState

OPTIMISATION = OptimisationConfig(
    steps=4, batch_size=12, accumulate=2, learning_rate=1e-2, clip_norm=0.5, precision="float32", parallel="fsdp"
)
SIZE = DenoiserConfig(
    num_frames=3, grid=(4, 4), channels=3, dim=32, depth=2, heads=2, image_grid=(2, 2), image_dim=7, text_dim=5
)


class Network(nn.Module):
    """With what a denoiser has not: a frozen part, one that nothing reads, and numbers that cannot be divided."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(7, 7).requires_grad_(False)
        self.denoiser = Denoiser(SIZE)
        self.unread = nn.Linear(3, 3)
        self.scale, self.alone = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.ones(1))
        with torch.no_grad():
            for weight in self.denoiser.parameters():  # some begin at zero, and pass no gradients on
                weight.add_(0.05 * torch.randn_like(weight))


def loss(model: Network, batch: None, noise: WindowNoise, mean_weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    x, t = noise.normal(2, 3, 3, 4, 4), noise.normal(2).sigmoid()
    context = model.denoiser.image_context(model.frozen(noise.normal(4, 7)), noise.normal(5))
    with torch.no_grad():  # as a generator that learns from its own solver's states
        x = x + 0.1 * model.denoiser.velocity(x, t, context)
    velocity = model.denoiser.velocity(x, t, context) * model.scale + model.alone
    return (velocity - x).square().mean() / mean_weight, {}


def train(world: World, optimisation: OptimisationConfig, steps: int, saved: dict | None = None) -> tuple[dict, list]:
    """The state after `steps`, and the loss and the gradients' norm of each; of the average, what it says whole."""
    torch.manual_seed(0)
    model = Network()
    state = TrainingState(model, optimisation, settings={}, weights={})
    if saved is not None:
        state.load(saved)
    gradients = StepGradients(loss, model, optimisation, world)
    if optimisation.parallel == "fsdp":
        state.keep_parts(model, world.device)
        kept = sum(part(weight).numel() for weight in state.parameters if is_divided(weight))
        assert kept < 0.6 * sum(weight.numel() for weight in state.parameters)
        assert not is_divided(model.scale) and not is_divided(model.frozen.weight)
    share = BatchShare(optimisation.batch_size, optimisation.accumulate, world.rank, world.size)
    history = []
    for step in range(state.step, steps):
        parts: list[tuple[Batch | None, WindowNoise]] = [
            (None, WindowNoise(0, step, positions, world.device)) for positions in share.micro_batches
        ]
        value = world.sum(gradients.compute(parts, torch.tensor(0.1))["loss"].clone()) / world.size
        norm = gradients.clip(optimisation.clip_norm)
        assert norm > optimisation.clip_norm
        state.update(optimisation.learning_rate)
        history.append((value.item(), norm.item()))
    state_dict = state.to_dict()
    with state.average.whole_model() as averaged:
        for name, weight in state_dict["average"].items():
            assert torch.equal(averaged.get_parameter(name), weight)
    world.check_same(scale=model.scale.item(), norms=history)
    return state_dict, history


def read_back(state: dict) -> dict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_close(ours: dict, theirs: dict, tolerance: float) -> None:
    for group in ("model", "average"):
        for name, weight in theirs[group].items():
            torch.testing.assert_close(ours[group][name], weight, rtol=0, atol=tolerance)
    for number, moments in theirs["optimiser"]["state"].items():
        for name, moment in moments.items():
            torch.testing.assert_close(ours["optimiser"]["state"][number][name], moment, rtol=0, atol=tolerance)


with join_world() as world:
    ordinary = dataclasses.replace(OPTIMISATION, parallel="ddp")
    of_ddp, history_of_ddp = train(world, ordinary, 4)
    of_parts, history = train(world, OPTIMISATION, 4)
    assert_close(of_parts, of_ddp, 1e-5)
    for ours, theirs in zip(history, history_of_ddp, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert of_parts["optimiser"]["state"].keys() == of_ddp["optimiser"]["state"].keys()  # none of what is not read

    half, _ = train(world, OPTIMISATION, 2)
    resumed, later = train(world, OPTIMISATION, 4, read_back(half))
    assert later == history[2:]
    assert_close(resumed, of_parts, 0.0)
    from_parts, _ = train(world, ordinary, 4, read_back(half))  # a run may go on in the other way
    assert_close(from_parts, of_ddp, 1e-5)

    rounded = dataclasses.replace(OPTIMISATION, precision="bfloat16")
    in_bfloat16, _ = train(world, rounded, 2)
    assert_close(in_bfloat16, train(world, dataclasses.replace(rounded, parallel="ddp"), 2)[0], 1e-5)

    for changed, message in (({"compile": True}, "fsdp .* compile to false"), ({"compress_gradients": "bf16"}, "GPUs")):
        with pytest.raises(ValueError, match=message):
            train(world, dataclasses.replace(OPTIMISATION, **changed), 1)
