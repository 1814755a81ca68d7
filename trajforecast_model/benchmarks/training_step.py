"""`trajforecast bench training`: our denoiser's training step, with and without CUDA graphs, beside the official one.

All get the same random tracks, image features and text, have the same weights, and do the whole step: latents by the
frozen VAE, forward, backward, clipping, AdamW (and, in ours, the moving average of the weights). With a data folder the
loader is timed alone, too.
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from trajforecast_model.benchmarks.cost import floor_lines, floors_of
from trajforecast_model.benchmarks.libero_models import libero_config
from trajforecast_model.benchmarks.report import environment, finish
from trajforecast_model.benchmarks.timing import interleaved, peak_memory_of, ratios, span
from trajforecast_model.benchmarks.training_programs import (
    Step,
    cost_of_training_step,
    prepare_official,
    prepare_ours,
    prepare_recorded,
)
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.inference.loaded_model import DTYPES
from trajforecast_model.runtime.device import checked_device
from trajforecast_model.training.batches import BatchShare, training_batches

LOADER_BATCHES = 10
PROGRAMS: dict[str, Callable[..., Step]] = {
    "official": prepare_official,
    "ours": prepare_ours,
    "graphs": prepare_recorded,
}
TITLES = {"official": "official", "ours": "ours", "graphs": "ours, CUDA graphs"}


def compare_training(
    source: Path,
    *,
    size: str = "B",
    batch: int = 8,
    runs: int = 5,
    depth: int | None = None,
    grid: tuple[int, int] = (64, 64),
    graphs: bool = True,
    data: Path | None = None,
    device: str = "cpu",
    precision: str = "bfloat16",
    out: Path | None = None,
) -> dict:
    """Times training steps of the LIBERO denoiser from image features, interleaved, and the loader of `data` alone.

    Args:
        depth, grid: smaller ones make a quick look.
        graphs: our step recorded, too, which is None in every figure where there is no GPU.

    Raises:
        ValueError: where `source` is not the official code, or for numbers out of range.
    """
    on_gpu = checked_device(device).type == "cuda"
    names = [name for name in PROGRAMS if name != "graphs" or (graphs and on_gpu)]
    config = libero_config(size, depth, grid=grid)
    arguments = (source, config, batch, device, precision)
    losses: dict[str, list[float]] = {name: [] for name in names}

    def keeping_loss(name: str, step: Step) -> Callable[[], None]:
        return lambda: losses[name].append(step())

    seconds, cpu_seconds = interleaved({name: keeping_loss(name, PROGRAMS[name](*arguments)) for name in names}, runs)
    memory = {name: peak_memory_of(PROGRAMS[name], *arguments, device=device) for name in names}
    floor = floors_of(*cost_of_training_step(config, batch), torch.device(device), DTYPES[precision])

    def of_each(figure: Callable[[str], object]) -> dict:
        return {name: figure(name) if name in names else None for name in PROGRAMS}

    report = environment(device, precision) | {
        "size": size, "depth": depth, "batch": batch, "runs": runs,
        "seconds": of_each(lambda name: {f"p{p}": float(np.percentile(seconds[name], p)) for p in (50, 99)}),
        "samples_per_second": of_each(lambda name: span([batch / s for s in seconds[name]])),
        "official_over_ours": ratios(seconds["official"], seconds["ours"]),
        "official_over_graphs": ratios(seconds["official"], seconds["graphs"]) if "graphs" in names else None,
        "official_over_ours_cpu_seconds": ratios(cpu_seconds["official"], cpu_seconds["ours"]),
        "memory_bytes": of_each(memory.get),
        "loss": of_each(lambda name: sum(losses[name]) / len(losses[name])),
        "floor": floor,
        "loader": None,
    }  # fmt: skip
    lines = [f"training step, LIBERO {size}, batch {batch}, {precision} on {report['device']}", *_table(report)]
    if graphs and not on_gpu:
        lines.append("CUDA graphs need a GPU: their row is empty on a CPU")
    lines.append(
        f"official / ours: {_words(report['official_over_ours'])} of the time, "
        f"{_words(report['official_over_ours_cpu_seconds'])} of the CPU seconds"
    )
    if "graphs" in names:
        lines.append(f"official / ours, CUDA graphs: {_words(report['official_over_graphs'])} of the time")
    lines += floor_lines(floor, report["seconds"]["ours"]["p50"], "training step")
    if data is not None:
        rate = _loader_rate(data, batch)
        over_step = rate / report["samples_per_second"]["ours"]["median"]
        report["loader"] = {"samples_per_second": rate, "over_our_step": over_step}
        lines.append(f"loader alone, one process: {rate:.1f} samples/s, {over_step:.1f} x what our step takes")
    return finish(report, lines, out)


def _words(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def _table(report: dict) -> list[str]:
    floor_here, floor_h200 = (machine["seconds"] for machine in report["floor"]["machines"][:2])
    lines = [
        "| step | p50 ms | p99 ms | floor here ms | floor of an H200 ms | samples/s | memory GB | mean loss |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        if (seconds := report["seconds"][name]) is None:
            lines.append(f"| {title} | | | | | | | |")
            continue
        lines.append(
            f"| {title} | {1e3 * seconds['p50']:.1f} | {1e3 * seconds['p99']:.1f} | {1e3 * floor_here:.1f} | "
            f"{1e3 * floor_h200:.2f} | {report['samples_per_second'][name]['median']:.2f} | "
            f"{report['memory_bytes'][name]['peak'] / 1e9:.2f} | {report['loss'][name]:.3f} |"
        )
    return lines


def _loader_rate(folder: Path, batch: int) -> float:
    """Samples a second of one loader in this process, images decoded and tracks read."""
    batches = iter(training_batches(ShardDataset(folder, "train"), BatchShare(batch), seed=0, start=0, workers=0))
    next(batches)
    start = time.perf_counter()
    for _ in itertools.islice(batches, LOADER_BATCHES):
        pass
    return batch * LOADER_BATCHES / (time.perf_counter() - start)
