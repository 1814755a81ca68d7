"""`trajforecast bench official`: ours and the official code in one run, same weights, same precision, same inputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from trajforecast_model.benchmarks.cost import floor_lines, floors
from trajforecast_model.benchmarks.libero_models import (
    Request,
    forecast,
    forecaster_of_official,
    libero_config,
    request_for,
)
from trajforecast_model.benchmarks.official import OfficialForecaster
from trajforecast_model.benchmarks.report import environment, finish
from trajforecast_model.benchmarks.timing import interleaved, peak_memory_of, ratios, span
from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.inference.loaded_model import DTYPES


def compare_with_official(
    source: Path,
    *,
    size: str = "B",
    views: int = 2,
    k: int = 8,
    steps: int = 9,
    runs: int = 3,
    depth: int | None = None,
    grid: tuple[int, int] = (64, 64),
    device: str = "cpu",
    dtype: str = "bfloat16",
    out: Path | None = None,
) -> dict:
    """Times LIBERO forecasts from image tokens to tracks in pixels, decode included, and compares output and memory.

    Both have the weights of the golden files' formula. The official code samples view after view, the samples of a view
    as one batch; its weights are in the precision of the run, under autocast, as its own sampling is. Warm-up and memory
    are of one evaluation: more need the same. `depth` and `grid` make it smaller, for a quick look.

    Raises:
        ValueError: where `source` is not the official code, or for numbers out of range.
    """
    config = libero_config(size, depth, grid=grid)
    request = request_for(config, views, k)
    official = OfficialForecaster(source, config, device, DTYPES[dtype])
    ours = forecaster_of_official(config, official.denoiser_weights, official.vae_weights, device, dtype)
    floor = floors(ours, request, steps)

    tracks: dict[str, np.ndarray] = {}

    def keeping(name: str, run: Callable[[], np.ndarray]) -> Callable[[], None]:
        return lambda: tracks.__setitem__(name, run())

    seconds, cpu_seconds = interleaved(
        {
            "official": keeping("official", lambda: official.forecast(request, steps)),
            "ours": keeping("ours", lambda: forecast(ours, request, steps)),
        },
        runs,
        warm_up={"official": lambda: official.forecast(request, 1), "ours": lambda: forecast(ours, request, 1)},
    )
    motion = tracks["official"] - tracks["official"][:, :, :1]
    arguments = (source, config, views, k, device, dtype)
    memory = {
        name: peak_memory_of(prepare, *arguments, device=device)
        for name, prepare in (("official", _prepare_official), ("ours", _prepare_ours))
    }
    report = environment(device, dtype) | {
        "size": size, "depth": depth or config.denoiser.depth, "views": views, "k": k, "steps": steps, "runs": runs,
        "seconds": {name: span(values) for name, values in seconds.items()},
        "official_over_ours": ratios(seconds["official"], seconds["ours"]),
        "official_over_ours_cpu_seconds": ratios(cpu_seconds["official"], cpu_seconds["ours"]),
        "difference_over_motion": float(np.linalg.norm(tracks["ours"] - tracks["official"]) / np.linalg.norm(motion)),
        "memory_bytes": memory,
        "floor": floor,
    }  # fmt: skip
    ratio, cpu_ratio, lines = report["official_over_ours"], report["official_over_ours_cpu_seconds"], []
    for name, values in report["seconds"].items():
        lines.append(
            f"{name}: {values['median']:.3f} s ({values['min']:.3f} to {values['max']:.3f}); "
            f"peak memory {memory[name]['peak'] / 1e9:.2f} GB"
            f", {memory[name]['added_by_the_run'] / 1e9:.2f} GB of it added by the run"
        )
    lines += [
        f"official / ours: {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) over {runs} pairs, "
        f"in CPU seconds {cpu_ratio['median']:.2f} ({cpu_ratio['min']:.2f} to {cpu_ratio['max']:.2f}); "
        f"outputs differ by {report['difference_over_motion']:.1e} of the motion",
    ]
    title = f"LIBERO {size} ({report['depth']} blocks), {views} views, k = {k}, {steps} evaluations, {dtype} on {report['device']}"
    return finish(report, [title, *lines, *floor_lines(floor, report["seconds"]["ours"]["median"])], out)


def _prepare_official(source: Path, config: ForecastConfig, views, k, device, dtype) -> Callable[[], object]:
    official = OfficialForecaster(source, config, device, DTYPES[dtype])
    del official.denoiser_weights, official.vae_weights
    request = request_for(config, views, k)
    return lambda: official.forecast(request, 1)


def _prepare_ours(source: Path, config: ForecastConfig, views, k, device, dtype) -> Callable[[], object]:
    official = OfficialForecaster(source, config, "cpu", torch.float32)
    ours = forecaster_of_official(config, official.denoiser_weights, official.vae_weights, device, dtype)
    del official
    request: Request = request_for(config, views, k)
    return lambda: forecast(ours, request, 1)
