"""ODE solvers from noise (t = 0) to data (t = 1). `velocity(x, t)` takes the state and a scalar time.

A solver is chosen by name, "METHOD" or "METHOD@GRID", e.g. "ab2@shift2": the method says how values of the velocity
become a step, the grid where the steps end (flow/grids.py; uniform unless named).
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from trajforecast_model.flow.grids import GRIDS, time_grid

Velocity = Callable[[Tensor, Tensor], Tensor]


def integrate(velocity: Velocity, noise: Tensor, steps: int = 9, solver: str = "euler") -> Tensor:
    """Follows the velocity from `noise` at t = 0 to t = 1.

    Args:
        steps: evaluations of the velocity, whatever the method; the paper's linspace(0, 1, 10) is 9 steps of Euler.
            Ignored by dopri5, which chooses its own.
        solver: "METHOD" or "METHOD@GRID". Methods: euler; heun, second order, two evaluations a step; ab2 (Adams-Bashforth),
            second order, one evaluation a step; dopri5, the accurate and slow one (torchdiffeq), which takes no grid.

    Raises:
        ValueError: for an unknown method or grid, or less than one step.
    """
    method, grid = _parse(solver)
    if method == "dopri5":
        return _dopri5(velocity, noise)
    return _FIXED_STEPS[method](velocity, noise, steps, grid)


def check_solver(solver: str) -> None:
    """Raises ValueError unless `solver` is a name that `integrate` takes."""
    _, grid = _parse(solver)
    time_grid(grid, 1)


def _parse(solver: str) -> tuple[str, str]:
    """Method and grid."""
    method, at, grid = solver.partition("@")
    if method in _FIXED_STEPS:
        return method, grid if at else "uniform"
    if solver == "dopri5":
        return solver, "uniform"
    raise ValueError(
        f"solver: got {solver!r}, expected one of {', '.join(SOLVERS)}; the first {len(_FIXED_STEPS)} take a time grid "
        f"after an @, one of {', '.join(GRIDS)}, e.g. ab2@shift2"
    )


def _euler(velocity: Velocity, x: Tensor, evaluations: int, grid: str) -> Tensor:
    times = time_grid(grid, evaluations).to(x.device)
    for start, end in itertools.pairwise(times):
        x = x + (end - start) * velocity(x, start)
    return x


def _ab2(velocity: Velocity, x: Tensor, evaluations: int, grid: str) -> Tensor:
    """The velocity's slope between the last two times is carried on to the middle of the step; the first is Euler's."""
    times = time_grid(grid, evaluations).to(x.device)
    before = None  # the last step's length, and the velocity at its start
    for start, end in itertools.pairwise(times):
        length, now = end - start, velocity(x, start)
        average = now if before is None else now + length / (2 * before[0]) * (now - before[1])
        x = x + length * average
        before = length, now
    return x


def _heun(velocity: Velocity, x: Tensor, evaluations: int, grid: str) -> Tensor:
    """Trapezoid of the velocities at a step's start and at its Euler end; an odd evaluation makes a last Euler step."""
    times = time_grid(grid, (evaluations + 1) // 2).to(x.device)
    for i, (start, end) in enumerate(itertools.pairwise(times)):
        at_start = velocity(x, start)
        at_end = at_start if 2 * i + 1 == evaluations else velocity(x + (end - start) * at_start, end)
        x = x + (end - start) * (at_start + at_end) / 2
    return x


def _dopri5(velocity: Velocity, noise: Tensor) -> Tensor:
    from torchdiffeq import odeint

    times = torch.tensor([0.0, 1.0], device=noise.device)
    return odeint(lambda t, x: velocity(x, t), noise, times, method="dopri5", rtol=1e-5, atol=1e-5)[-1]


_FIXED_STEPS = {"euler": _euler, "heun": _heun, "ab2": _ab2}
SOLVERS = (*_FIXED_STEPS, "dopri5")
