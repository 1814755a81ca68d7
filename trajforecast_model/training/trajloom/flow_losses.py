"""The losses of TrajLoom's generator (arXiv 2603.22606), on normalised latents [B, T, N, C] with a weight a token [B, T, N].

The flow goes from its source (t = 0) to the future's latents (t = 1) on straight lines, made a little thicker by noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from trajforecast_model.files.config import check_at_least
from trajforecast_model.flow.path import logit_normal_timesteps
from trajforecast_model.trajloom.sampling import ENDS

LEAST_DENOMINATOR = 1e-3

Velocity = Callable[[Tensor, Tensor], Tensor]  # z_t [B, T, N, C], t [B] -> [B, T, N, C]


@dataclass(frozen=True)
class FlowTimesConfig:
    """At which flow times the generator learns."""

    early: float = 0.2  # share of draws near the source
    early_until: float = 0.1  # these are uniform from 0 to here; the others are logit-normal

    def __post_init__(self):
        for name in ("early", "early_until"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"flow_times.{name}: got {getattr(self, name)}, expected a number from 0 to 1")


@dataclass(frozen=True)
class OnPolicyConfig:
    """The generator on states that its own solver reaches."""

    steps: int = 8  # of Euler, from the source on; no gradient goes through them
    weight: float = 0.1  # of all of it beside the flow's loss
    backward_weight: float = 0.5  # of the velocity that leads back to the source, beside 1 of the one to the future
    endpoint_weight: float = 0.1  # of both ends of the line through a state, against those of the step before
    samples: int = 8  # windows a step that are solved, over all ranks

    def __post_init__(self):
        check_at_least(1, self, "steps", "samples", group="on_policy.")
        check_at_least(0, self, "weight", "backward_weight", "endpoint_weight", group="on_policy.")


def flow_times(normal: Tensor, config: FlowTimesConfig) -> Tensor:
    """Flow times [B] from standard normal noise [B, 3]: which kind, a uniform one, a logit-normal one."""
    kind, uniform = torch.special.ndtr(normal[:, 0]), torch.special.ndtr(normal[:, 1])
    t = torch.where(kind < config.early, config.early_until * uniform, logit_normal_timesteps(normal[:, 2]))
    return t.clamp(ENDS, 1 - ENDS)


def noisy_latents(source: Tensor, data: Tensor, t: Tensor, tube: Tensor | float = 0.0) -> Tensor:
    """The point at time t [B] of the line from source to data, `tube` [B, T, N, C] off it."""
    t = t.view(-1, 1, 1, 1)
    return (1 - t) * source + t * data + tube


def token_weights(seen: Tensor, hidden: float) -> Tensor:
    """bool [B, T, N] -> float32: 1, and `hidden` where a cell is not seen in a latent step."""
    return torch.where(seen, 1.0, hidden)


def squared_error(velocity: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean over channels, weighted by token: the weights' mean is to be 1."""
    return (weight * ((velocity.float() - target.float()) ** 2).mean(-1)).mean()


def on_policy_times(steps: int) -> Tensor:
    """Flow times [steps + 1], spaced evenly in their logits."""
    least = torch.logit(torch.tensor(ENDS, dtype=torch.float64))
    return torch.sigmoid(torch.linspace(least, -least, steps + 1, dtype=torch.float64)).float()


def on_policy_loss(
    velocity: Velocity, source: Tensor, data: Tensor, weight: Tensor, config: OnPolicyConfig
) -> dict[str, Tensor]:
    """Solves the flow and tells, at each state, how far its velocity is from where it should lead; not yet weighted.

    A state z at time t should move by (data - z) / (1 - t), and have moved by (z - source) / t. The line through z along the
    velocity has two ends, z - t v and z + (1 - t) v; along a straight solution they are the same at every step.

    Returns:
        "forward", "backward": squared errors, tokens by weight, a mean over steps; "endpoint": squared change of both ends
        since the step before, all tokens alike, a mean over the steps that have one before.
    """
    times = on_policy_times(config.steps).to(source.device)
    z = source
    terms = {name: source.new_zeros((), dtype=torch.float32) for name in ("forward", "backward", "endpoint")}
    before = None
    for now, then in pairwise(times):
        v = velocity(z, now.expand(len(z))).float()
        forward, backward = on_policy_targets(z, source, data, now)
        terms["forward"] = terms["forward"] + squared_error(v, forward, weight) / config.steps
        terms["backward"] = terms["backward"] + squared_error(v, backward, weight) / config.steps
        ends = (z - now * v, z + (1 - now) * v)
        if before is not None:
            change = sum(((end - last) ** 2).mean() for end, last in zip(ends, before, strict=True))
            terms["endpoint"] = terms["endpoint"] + change / (config.steps - 1)
        before = [end.detach() for end in ends]
        z = (z + (then - now) * v).detach()
    return terms


def on_policy_targets(z: Tensor, source: Tensor, data: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Velocities that lead from z at time t (scalar) to the data, and from the source to z."""
    return (data - z) / (1 - t).clamp(min=LEAST_DENOMINATOR), (z - source) / t.clamp(min=LEAST_DENOMINATOR)


def weighted(terms: dict[str, Tensor], config: OnPolicyConfig) -> Tensor:
    """What `on_policy_loss` gives, as it is added to the flow's loss."""
    sides = terms["forward"] + config.backward_weight * terms["backward"]
    return config.weight * (sides + config.endpoint_weight * terms["endpoint"])
