"""Errors of a generator's forecasts on windows of the val split, as it forecasts behind the door."""

import torch
from torch import Tensor

from trajforecast_model.training.trajloom.windows import Tracks
from trajforecast_model.trajloom.checkpoint import TrajloomConfig, TrajloomNetworks
from trajforecast_model.trajloom.past import future_in_pixels, in_pixels
from trajforecast_model.trajloom.sampling import TrajloomSampler


def forecast_errors(
    config: TrajloomConfig,
    networks: TrajloomNetworks,
    past: Tracks,
    future: Tracks,
    moving: Tensor,
    *,
    k: int,
    seeds: list[int],
    told_what_was_seen: bool,
    text: Tensor | None,
    image: Tensor | None,
) -> dict[str, tuple[float, int]]:
    """Sums of squared errors, px^2 over x and y, and how many points they are of: visible ones that move.

    Args:
        moving: bool [B, rows, columns]
        k: samples of each window, drawn by its seed.
        text: [B, E]
        image: [B, M, E]

    Returns:
        "mean_t", "min" (of each window its best sample), "nothing_moves".
    """
    sampler = TrajloomSampler(config, networks, past.positions.device, torch.float32)
    history = sampler.encode_history(past.positions)
    noise = sampler.noise(history, k, seeds, ["validation"] * len(seeds))
    seen = past.seen.flatten(2) if told_what_was_seen else None
    latents = sampler.sample_latents_with_history(history, noise, seen, text=text, image=image)
    decoded = sampler.decode(latents)  # [B, k, T, 2, rows, columns]
    samples, _ = future_in_pixels(decoded.flatten(0, 1), config.image_size, config)
    samples = samples.unflatten(0, decoded.shape[:2])  # [B, k, T, rows, columns, 2]
    truth, present = (
        in_pixels(positions.movedim(2, -1), config.image_size, config.image_size)
        for positions in (future.positions, past.positions[:, -1:])
    )
    counted = future.seen & moving[:, None]
    sums = {
        "mean_t": _squared(samples.mean(1), truth, counted).sum(),
        "min": _squared(samples, truth[:, None], counted[:, None]).amin(1).sum(),
        "nothing_moves": _squared(present, truth, counted).sum(),
    }
    return {name: (total.item(), int(counted.sum())) for name, total in sums.items()}


def _squared(tracks: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    """[..., T, rows, columns, 2] -> float64 [...]"""
    error = ((tracks - truth) ** 2).sum(-1).double()
    return torch.where(counted, error, 0).sum((-3, -2, -1))
