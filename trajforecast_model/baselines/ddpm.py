"""Denoising diffusion (DDPM, arXiv 2006.11239) with a linear schedule, and its sampling in fewer steps.

Level 0 is the least noisy of LEVELS, the last one all but pure noise. Knows no network.
"""

from collections.abc import Callable

import torch
from torch import Tensor

LEVELS = 1000


def kept_variance(level: Tensor) -> Tensor:
    """Share of the data's variance that is left at each level, the product of 1 - beta; the shape of `level`."""
    betas = torch.linspace(1e-4, 0.02, LEVELS, dtype=torch.float64)
    return torch.cumprod(1 - betas, dim=0).float().to(level.device)[level]


def add_noise(data: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """[B, ...] data at the noise level of each, int [B]."""
    kept = kept_variance(level).view(-1, *[1] * (data.ndim - 1))
    return kept.sqrt() * data + (1 - kept).sqrt() * noise


def sample(
    noise_in: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    fresh_noise: Callable[[int], Tensor],
    steps: int,
    largest: float,
    first_level: int = LEVELS - 1,
) -> Tensor:
    """Ancestral sampling on `steps` of the levels, spread evenly (arXiv 2102.09672, section 4).

    Args:
        noise_in: the noise that a network sees in [B, ...] at a level, int [B].
        start: [B, ...] pure noise.
        fresh_noise: noise like `start` for each step from the first (0) to the one before the last.
        steps: network evaluations, 1 to LEVELS.
        largest: what the data never exceeds; early steps divide by almost nothing.
        first_level: where to begin with pure noise. At the last level a small error about the noise is a large one about
            the data, and networks that trained briefly do not find back; some levels further down pure noise is nearly
            what they know.
    """
    if not 1 <= steps <= LEVELS:
        raise ValueError(f"steps: got {steps}, expected 1 to {LEVELS}")
    levels = torch.linspace(first_level, 0, steps).round().long().tolist() if steps > 1 else [first_level]
    x = start
    for step, (level, next_level) in enumerate(zip(levels, [*levels[1:], None], strict=True)):
        at = torch.full((len(x),), level, device=x.device)
        kept = kept_variance(at[:1])
        data = ((x - (1 - kept).sqrt() * noise_in(x, at)) / kept.sqrt()).clamp(-largest, largest)
        if next_level is None:
            x = data
            continue
        kept_next = kept_variance(at.new_tensor([next_level]))
        beta = 1 - kept / kept_next  # of all levels jumped over together
        mean = (kept_next.sqrt() * beta * data + (1 - beta).sqrt() * (1 - kept_next) * x) / (1 - kept)
        x = mean + (beta * (1 - kept_next) / (1 - kept)).sqrt() * fresh_noise(step)
    return x
