"""`trajforecast bench scaling`: cost against samples, grid, frames and views, counted and measured, term by term."""

from dataclasses import replace
from pathlib import Path

import torch

from trajforecast_model.benchmarks.cost import Cost, cost_of_forecast
from trajforecast_model.benchmarks.libero_models import forecast, libero_config, request_for, untrained_forecaster
from trajforecast_model.benchmarks.report import environment, finish
from trajforecast_model.benchmarks.timing import interleaved, span
from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.forecaster import Forecaster

BASE = {"views": 2, "k": 8, "grid": 64, "frames": 16}
SERIES = {"k": [1, 2, 4, 8, 16], "views": [1, 2, 4], "grid": [16, 32, 64, 96], "frames": [8, 16, 32]}
SPARSE_POINTS = (4, 8)  # the 32 points of track-conditioned policies (ATM), as a grid without a VAE


def scale(
    size: str,
    steps: int = 9,
    *,
    runs: int = 0,
    depth: int | None = None,
    device: str = "cpu",
    dtype: str = "bfloat16",
    out: Path | None = None,
) -> dict:
    """Changes one of samples, views, grid and frames at a time; counts FLOPs and, for `runs` above 0, measures seconds."""
    report = environment(device, dtype) | {"size": size, "steps": steps, "depth": depth, "runs": runs, "rows": []}
    lines = [
        f"LIBERO {size}, {steps} evaluations, {dtype} on {report['device']}; where not said otherwise "
        + ", ".join(f"{name} {value}" for name, value in BASE.items()),
        "| | TFLOP | x base | linear layers | over space | over time | to the image | seconds (min to max) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    base_flops = None
    device = device if runs else torch.device("meta")  # shapes are enough to count
    for name, values in ({"base": [None]} | SERIES).items():
        for value in values:
            setting = BASE if value is None else BASE | {name: value}
            config = libero_config(size, depth, setting["frames"], (setting["grid"],) * 2)
            forecaster = untrained_forecaster(config, device, dtype)
            row = _row(forecaster, setting, steps, runs) | {"changed": name, "value": value}
            base_flops = base_flops or row["flops"]
            lines.append(_line("base" if value is None else f"{name} {value}", row, base_flops))
            report["rows"].append(row)
    sparse = _sparse(size, depth, device, dtype)
    row = _row(sparse, BASE, steps, runs) | {"changed": "sparse points", "value": 32}
    lines.append(_line("32 points, no grid", row, base_flops))
    report["rows"].append(row)
    points = BASE["grid"] ** 2
    lines.append(
        f"The grid of {points} points costs {base_flops / row['flops']:.1f} x as much as 32 points "
        f"and {base_flops / points / (row['flops'] / 32):.3f} x as much a point."
    )
    return finish(report, lines, out)


def _row(forecaster: Forecaster, setting: dict, steps: int, runs: int) -> dict:
    request = request_for(forecaster.config, setting["views"], setting["k"])
    cost: Cost = cost_of_forecast(forecaster, request)
    seconds = None
    if runs:
        measured, _ = interleaved({"forecast": lambda: forecast(forecaster, request, steps)}, runs)
        seconds = span(measured["forecast"])
    return {"flops": cost.flops(steps), "shares": _shares(forecaster.config, setting), "seconds": seconds}


def _shares(config: ForecastConfig, setting: dict) -> dict[str, float]:
    """Where a network evaluation's arithmetic goes, per token and pair of blocks."""
    denoiser = config.denoiser
    tokens = (denoiser.grid[0] // denoiser.patch_size) * (denoiser.grid[1] // denoiser.patch_size)
    image_tokens = denoiser.image_grid[0] * denoiser.image_grid[1]
    terms = {
        "linear": 2 * 28 * denoiser.dim**2,  # q, kv, proj; q, proj; MLP: 14 D^2 products in each of the two
        "space": 4 * tokens * denoiser.dim,
        "time": 4 * denoiser.num_frames * denoiser.dim,
        "image": 2 * 4 * image_tokens * denoiser.dim,
    }
    return {name: value / sum(terms.values()) for name, value in terms.items()}


def _sparse(size: str, depth: int | None, device: str | torch.device, dtype: str) -> Forecaster:
    config = libero_config(size, depth)
    denoiser = replace(config.denoiser, grid=SPARSE_POINTS, channels=2, track_encoding=True)
    config = replace(config, vae=None, denoiser=denoiser, grid=SPARSE_POINTS, latent_std=(1.0, 1.0))
    return untrained_forecaster(config, device, dtype)


def _line(name: str, row: dict, base_flops: int) -> str:
    shares = " | ".join(f"{row['shares'][term]:.0%}" for term in ("linear", "space", "time", "image"))
    seconds = row["seconds"]
    measured = "" if seconds is None else f"{seconds['median']:.3f} ({seconds['min']:.3f} to {seconds['max']:.3f})"
    return f"| {name} | {row['flops'] / 1e12:.3f} | {row['flops'] / base_flops:.2f} | {shares} | {measured} |"
