"""`trajforecast bench training`: samples a second of our denoiser's training step and of the official one, in one run.

Both get the same random tracks, image features and text, have the same weights, and do the whole step: latents by the
frozen VAE, forward, backward, clipping, AdamW. With a data folder the loader is timed alone too.
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.benchmarks.libero_models import forecaster_of_official, libero_config
from trajforecast_model.benchmarks.official import OfficialForecaster
from trajforecast_model.benchmarks.report import environment, finish
from trajforecast_model.benchmarks.timing import interleaved, peak_memory_of, ratios, span
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.flow.path import flow_loss, interpolate, logit_normal_timesteps
from trajforecast_model.training.batches import BatchShare, training_batches

LEARNING_RATE = 6e-5
CLIP_NORM = 1.0
LOADER_BATCHES = 10


def compare_training(
    source: Path,
    *,
    size: str = "B",
    batch: int = 8,
    runs: int = 5,
    depth: int | None = None,
    data: Path | None = None,
    device: str = "cpu",
    precision: str = "bfloat16",
    out: Path | None = None,
) -> dict:
    """Times training steps of the LIBERO denoiser from image features, interleaved, and the loader of `data` alone.

    Raises:
        ValueError: where `source` is not the official code, or for numbers out of range.
    """
    arguments = (source, size, depth, batch, device, precision)
    programs = {"official": prepare_official(*arguments), "ours": prepare_ours(*arguments)}
    seconds, cpu_seconds = interleaved(programs, runs)
    report = environment(device, precision) | {
        "size": size, "depth": depth, "batch": batch, "runs": runs,
        "samples_per_second": {name: span([batch / s for s in values]) for name, values in seconds.items()},
        "official_over_ours": ratios(seconds["official"], seconds["ours"]),
        "official_over_ours_cpu_seconds": ratios(cpu_seconds["official"], cpu_seconds["ours"]),
        "memory_bytes": {
            name: peak_memory_of(prepare, *arguments, device=device)
            for name, prepare in (("official", prepare_official), ("ours", prepare_ours))
        },
        "loader_samples_per_second": None if data is None else _loader_rate(data, batch),
    }  # fmt: skip
    ratio, cpu_ratio = report["official_over_ours"], report["official_over_ours_cpu_seconds"]
    lines = [f"training step, LIBERO {size}, batch {batch}, {precision} on {report['device']}"]
    for name, rate in report["samples_per_second"].items():
        peak = report["memory_bytes"][name]["peak"] / 1e9
        lines.append(
            f"{name}: {rate['median']:.3f} samples/s ({rate['min']:.3f} to {rate['max']:.3f}); {peak:.2f} GB at most"
        )
    lines.append(
        f"official / ours: {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) of the time, "
        f"{cpu_ratio['median']:.2f} ({cpu_ratio['min']:.2f} to {cpu_ratio['max']:.2f}) of the CPU seconds"
    )
    if data is not None:
        rate = report["loader_samples_per_second"]
        steps = rate / report["samples_per_second"]["ours"]["median"]
        lines.append(f"loader alone, one process: {rate:.1f} samples/s, {steps:.1f} x what our step takes")
    return finish(report, lines, out)


def prepare_ours(source: Path, size: str, depth: int | None, batch: int, device: str, precision: str) -> Callable:
    config = libero_config(size, depth)
    official = OfficialForecaster(source, config, "cpu", torch.float32)
    forecaster = forecaster_of_official(config, official.denoiser_weights, official.vae_weights, device, "float32")
    denoiser, vae, std = forecaster.denoiser.train().requires_grad_(True), forecaster.vae, forecaster.latent_std
    tracks, features, text = _inputs(config, batch, forecaster.device)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=LEARNING_RATE)
    autocast = precision == "bfloat16"

    @torch.no_grad()
    def latents() -> tuple[Tensor, Tensor]:
        mean, spread = vae.encode(tracks, features)
        static, _ = vae.encode_static(batch, features)
        drawn = mean + spread * torch.randn_like(mean)
        return tuple((x.float() / std).unflatten(2, vae.config.latent_grid).movedim(-1, 2) for x in (drawn, static))

    def step() -> None:
        with torch.autocast(forecaster.device.type, torch.bfloat16, enabled=autocast):
            data, static = latents()
            noise, t = torch.randn_like(data), logit_normal_timesteps(torch.randn(batch, device=data.device))
            x = interpolate(noise, data, static[:, :1], t)
            context = denoiser.image_context(features, text)
            velocity = denoiser.velocity(x.unsqueeze(1), t.unsqueeze(1), context)[:, 0]
            loss = flow_loss(velocity, noise, data)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(denoiser.parameters(), CLIP_NORM)
        optimiser.step()
        loss.item()  # waits for a GPU

    return step


def prepare_official(source: Path, size: str, depth: int | None, batch: int, device: str, precision: str) -> Callable:
    """The steps of its LIBERO training: latents in float32, the denoiser under autocast, every gradient looked at."""
    config = libero_config(size, depth)
    official = OfficialForecaster(source, config, device, torch.float32)
    denoiser, vae, gamma = official.denoiser.train().requires_grad_(True), official.vae, official.gamma
    tracks, features, text = _inputs(config, batch, official.device)
    static = official.static_tracks.expand(batch, -1, -1, -1, -1)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=LEARNING_RATE)
    autocast = precision == "bfloat16"

    @torch.no_grad()
    def latents(of: Tensor) -> Tensor:
        return vae.encode(of, features).rsample().unflatten(2, config.denoiser.grid).movedim(-1, 2) * gamma

    def step() -> None:
        first, data = latents(static)[:, 0], latents(tracks)
        noise, t = torch.randn_like(data), torch.sigmoid(torch.randn(batch)).to(data.device)
        at = t.view(-1, 1, 1, 1, 1)
        x, flow = (1 - at) * noise + at * data, data - noise
        x[:, 0] = first
        mask = torch.ones_like(data)
        mask[:, 0] = 0
        with torch.autocast(official.device.type, torch.bfloat16, enabled=autocast):
            loss = F.mse_loss(mask * denoiser(x, t, features, text), mask * flow, reduction="none").mean()
        loss.backward()
        for parameter in denoiser.parameters():
            if parameter.grad is not None:
                parameter.grad.norm(2).item()
                torch.isnan(parameter.grad).any().item()
                torch.isinf(parameter.grad).any().item()
                parameter.grad = torch.nan_to_num(parameter.grad, nan=0.0, posinf=0.0, neginf=0.0)
        nn.utils.clip_grad_norm_(denoiser.parameters(), CLIP_NORM)
        optimiser.step()
        optimiser.zero_grad()
        loss.item()

    return step


def _inputs(config, batch: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    denoiser = config.denoiser
    tokens = denoiser.image_grid[0] * denoiser.image_grid[1]
    return (
        torch.randn(batch, config.num_frames, 2, *config.grid, generator=generator).to(device),
        torch.randn(batch, tokens, denoiser.image_dim, generator=generator).to(device),
        torch.randn(batch, denoiser.text_dim, generator=generator).to(device),
    )


def _loader_rate(folder: Path, batch: int) -> float:
    """Samples a second of one loader in this process, images decoded and tracks read."""
    batches = iter(training_batches(ShardDataset(folder, "train"), BatchShare(batch), seed=0, start=0, workers=0))
    next(batches)
    start = time.perf_counter()
    for _ in itertools.islice(batches, LOADER_BATCHES):
        pass
    return batch * LOADER_BATCHES / (time.perf_counter() - start)
