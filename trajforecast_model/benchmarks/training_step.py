"""`trajforecast bench training`: samples a second of our denoiser's training step and of the official one, in one run.

Both get the same random tracks, image features and text, have the same weights, and do the whole step: latents by the
frozen VAE, forward, backward, clipping, AdamW (and, in ours, the moving average of the weights). With a data folder the
loader is timed alone, too.
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
from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.training.batches import Batch, BatchShare, training_batches
from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.flow_matching import LatentSpace, flow_matching_loss
from trajforecast_model.training.state import TrainingState

LEARNING_RATE = 6e-5
CLIP_NORM = 1.0
LOADER_BATCHES = 10

Step = Callable[[], float]  # returns the loss: mean squared error of the velocity in the unknown frames


def compare_training(
    source: Path,
    *,
    size: str = "B",
    batch: int = 8,
    runs: int = 5,
    depth: int | None = None,
    grid: tuple[int, int] = (64, 64),
    data: Path | None = None,
    device: str = "cpu",
    precision: str = "bfloat16",
    out: Path | None = None,
) -> dict:
    """Times training steps of the LIBERO denoiser from image features, interleaved, and the loader of `data` alone.

    `depth` and `grid` make the networks smaller, for a quick look.

    Raises:
        ValueError: where `source` is not the official code, or for numbers out of range.
    """
    arguments = (source, libero_config(size, depth, grid=grid), batch, device, precision)
    losses: dict[str, list[float]] = {"official": [], "ours": []}

    def keeping_loss(name: str, step: Callable[[], float]) -> Callable[[], None]:
        return lambda: losses[name].append(step())

    seconds, cpu_seconds = interleaved(
        {
            "official": keeping_loss("official", prepare_official(*arguments)),
            "ours": keeping_loss("ours", prepare_ours(*arguments)),
        },
        runs,
    )
    report = environment(device, precision) | {
        "size": size, "depth": depth, "batch": batch, "runs": runs,
        "samples_per_second": {name: span([batch / s for s in values]) for name, values in seconds.items()},
        "official_over_ours": ratios(seconds["official"], seconds["ours"]),
        "official_over_ours_cpu_seconds": ratios(cpu_seconds["official"], cpu_seconds["ours"]),
        "memory_bytes": {
            name: peak_memory_of(prepare, *arguments, device=device)
            for name, prepare in (("official", prepare_official), ("ours", prepare_ours))
        },
        "loss": {name: sum(values) / len(values) for name, values in losses.items()},
        "loader": None,
    }  # fmt: skip
    ratio, cpu_ratio = report["official_over_ours"], report["official_over_ours_cpu_seconds"]
    lines = [f"training step, LIBERO {size}, batch {batch}, {precision} on {report['device']}"]
    for name, rate in report["samples_per_second"].items():
        peak = report["memory_bytes"][name]["peak"] / 1e9
        lines.append(
            f"{name}: {rate['median']:.3f} samples/s ({rate['min']:.3f} to {rate['max']:.3f}); {peak:.2f} GB at most; "
            f"mean loss {report['loss'][name]:.3f}"
        )
    lines.append(
        f"official / ours: {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) of the time, "
        f"{cpu_ratio['median']:.2f} ({cpu_ratio['min']:.2f} to {cpu_ratio['max']:.2f}) of the CPU seconds"
    )
    if data is not None:
        rate = _loader_rate(data, batch)
        over_step = rate / report["samples_per_second"]["ours"]["median"]
        report["loader"] = {"samples_per_second": rate, "over_our_step": over_step}
        lines.append(f"loader alone, one process: {rate:.1f} samples/s, {over_step:.1f} x what our step takes")
    return finish(report, lines, out)


def prepare_ours(source: Path, config: ForecastConfig, batch: int, device: str, precision: str) -> Step:
    """A step of training/loop.py from image tokens, as they come from a feature cache."""
    official = OfficialForecaster(source, config, "cpu", torch.float32)
    forecaster = forecaster_of_official(config, official.denoiser_weights, official.vae_weights, device, "float32")
    del official
    device, denoiser = forecaster.device, forecaster.denoiser.train().requires_grad_(True)
    space = LatentSpace(forecaster.vae, config.latent_std)
    tracks, tokens, text = _inputs(config, batch, device)
    windows = Batch(images=torch.empty(0), tracks=tracks, instructions=[])
    state = TrainingState(denoiser, OptimisationConfig(steps=1, batch_size=batch), settings={}, weights={})

    def step() -> float:
        denoiser.zero_grad()
        noise = WindowNoise(0, state.step, range(batch), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = flow_matching_loss(denoiser, space, windows, tokens, text, noise)
        loss.backward()
        nn.utils.clip_grad_norm_(state.parameters, CLIP_NORM)
        state.update(LEARNING_RATE)
        return loss.item()  # waits for a GPU

    return step


def prepare_official(source: Path, config: ForecastConfig, batch: int, device: str, precision: str) -> Step:
    """The steps of its LIBERO training: latents in float32, the denoiser under autocast, every gradient looked at."""
    official = OfficialForecaster(source, config, device, torch.float32)
    del official.denoiser_weights, official.vae_weights
    denoiser, vae, gamma = official.denoiser.train().requires_grad_(True), official.vae, official.gamma
    tracks, tokens, text = _inputs(config, batch, official.device)
    static = official.static_tracks.expand(batch, -1, -1, -1, -1)
    optimiser = torch.optim.AdamW(denoiser.parameters(), lr=LEARNING_RATE)
    frames = config.num_frames

    @torch.no_grad()
    def latents(of: Tensor) -> Tensor:
        return vae.encode(of, tokens).rsample().unflatten(2, config.denoiser.grid).movedim(-1, 2) * gamma

    def step() -> float:
        first, data = latents(static)[:, 0], latents((2 * tracks / config.image_size[0] - 1).movedim(-1, 2))
        noise, t = torch.randn_like(data), torch.sigmoid(torch.randn(batch)).to(data.device)
        at = t.view(-1, 1, 1, 1, 1)
        x, flow = (1 - at) * noise + at * data, data - noise
        x[:, 0] = first
        mask = torch.ones_like(data)
        mask[:, 0] = 0
        with torch.autocast(official.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = F.mse_loss(mask * denoiser(x, t, tokens, text), mask * flow, reduction="none").mean()
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
        return loss.item() * frames / (frames - 1)  # it averages over the known frame, too, whose error is zero

    return step


def _inputs(config: ForecastConfig, batch: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Tracks [B, T, H, W, 2] in pixels, image tokens [B, M, D], text [B, E]."""
    generator = torch.Generator().manual_seed(0)
    denoiser = config.denoiser
    tokens = denoiser.image_grid[0] * denoiser.image_grid[1]
    return (
        (torch.rand(batch, config.num_frames, *config.grid, 2, generator=generator) * config.image_size[0]).to(device),
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
