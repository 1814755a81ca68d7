"""ODE solvers from noise (t = 0) to data (t = 1). `velocity(x, t)` takes the state and a scalar time."""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]

SOLVERS = ("euler", "dopri5")


def integrate(velocity: Velocity, noise: Tensor, steps: int = 9, solver: str = "euler") -> Tensor:
    """Follows the velocity from `noise` at t = 0 to t = 1.

    Args:
        steps: equal Euler steps, each one network evaluation; the paper's linspace(0, 1, 10) is 9. Ignored by dopri5,
            which chooses its own steps.
        solver: "euler", or "dopri5", the accurate and slow one (torchdiffeq).

    Raises:
        ValueError: for an unknown solver or less than one step.
    """
    if solver == "euler":
        if steps < 1:
            raise ValueError(f"steps: got {steps}, expected at least 1")
        times = torch.linspace(0, 1, steps + 1, device=noise.device)
        x = noise
        for start, end in itertools.pairwise(times):
            x = x + (end - start) * velocity(x, start)
        return x
    if solver == "dopri5":
        from torchdiffeq import odeint

        times = torch.tensor([0.0, 1.0], device=noise.device)
        return odeint(lambda t, x: velocity(x, t), noise, times, method="dopri5", rtol=1e-5, atol=1e-5)[-1]
    raise ValueError(f"solver: got {solver!r}, expected one of {', '.join(SOLVERS)}")
