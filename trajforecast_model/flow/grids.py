"""Where between noise (t = 0) and data (t = 1) a solver evaluates the velocity: n steps, n + 1 times from 0 to 1.

`uniform` is the paper's. A curved flow wants more of few evaluations where it bends most:
`shift<S>`, e.g. shift2, is Stable Diffusion 3's (Esser et al. 2024, eq. 23), S > 1 crowding the times near the noise and
S < 1 near the data; `logit` puts them at the quantiles of the logit-normal density that the flow times of training have.
"""

import math

import torch
from torch import Tensor

GRIDS = ("uniform", "logit", "shift<S>")


def time_grid(name: str, steps: int) -> Tensor:
    """Flow times [steps + 1], float32 on the CPU, from 0 to 1.

    Raises:
        ValueError: for an unknown name, a shift that is not a positive number, or less than one step.
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}, expected at least 1")
    fractions = torch.linspace(0, 1, steps + 1)
    if name == "uniform":
        return fractions
    if name == "logit":
        return torch.sigmoid(torch.special.ndtri(fractions.double())).float()
    if name.startswith("shift"):
        shift = _positive_number(name.removeprefix("shift"))
        if shift is not None:
            return fractions / (fractions + shift * (1 - fractions))
    raise ValueError(f"time grid: got {name!r}, expected one of {', '.join(GRIDS)} with S a positive number")


def _positive_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None
