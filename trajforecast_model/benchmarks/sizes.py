"""`trajforecast bench sizes`: the paper's sizes at several numbers of evaluations, with memory, throughput and floor."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from trajforecast_model.benchmarks.cost import cost_of_forecast, data_sheet_machines, this_machine
from trajforecast_model.benchmarks.libero_models import forecast, libero_config, request_for, untrained_forecaster
from trajforecast_model.benchmarks.report import environment, finish
from trajforecast_model.benchmarks.timing import memory_of
from trajforecast_model.runtime.compilation import check_mode

WARM_UP_RUNS = 2


def time_sizes(
    sizes: list[str],
    evaluations: list[int],
    *,
    views: int = 2,
    k: int = 8,
    runs: int = 50,
    batch: int = 8,
    depth: int | None = None,
    grid: tuple[int, int] = (64, 64),
    compile: str | None = None,
    device: str = "cuda",
    dtype: str = "bfloat16",
    out: Path | None = None,
) -> dict:
    """Times LIBERO forecasts of untrained models, from image tokens to tracks in main memory; prints a Markdown table.

    Args:
        depth, grid: smaller ones make a quick look.
        batch: forecasts made together for the throughput.
        compile: mode of `Forecaster.compile`; None leaves the networks as they are.
    """
    if compile:
        check_mode(compile)
    configs = [libero_config(size, depth, grid=grid) for size in sizes]
    report = environment(device, dtype) | {"views": views, "k": k, "runs": runs, "batch": batch, "compiled": compile}
    report["rows"] = []
    lines = [
        f"LIBERO, {views} views, k = {k}, {dtype} on {report['device']}, {report['threads']} threads; throughput with "
        f"{batch} forecasts at once",
        "| model | evaluations | p50 ms | p99 ms | floor here ms | floor of an H200 ms | forecasts/s | memory GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for size, config in zip(sizes, configs, strict=True):
        if compile:
            torch.compiler.reset()  # it keeps what it made for the last size, and compiles a function 8 times at most
        forecaster = untrained_forecaster(config, device, dtype)
        request, many = request_for(config, views, k), request_for(config, views * batch, k)
        cost, here = cost_of_forecast(forecaster, request), this_machine(forecaster.device, forecaster.dtype)
        if compile:
            forecaster.compile(compile)  # after the count, which runs copies of the networks on shapes alone
        for steps in evaluations:
            one = partial(forecast, forecaster, request, steps)
            seconds = seconds_of(one, runs)
            memory = memory_of(one, forecaster.device)["peak"]
            together = seconds_of(partial(forecast, forecaster, many, steps), max(runs // batch, 1))
            row = {
                "size": size,
                "evaluations": steps,
                "p50": float(np.percentile(seconds, 50)),
                "p99": float(np.percentile(seconds, 99)),
                "floor_here": here.floor(cost, steps),
                "floor_h200": data_sheet_machines()[0].floor(cost, steps),
                "forecasts_per_second": batch / float(np.median(together)),
                "peak_memory_bytes": memory,
            }
            report["rows"].append(row)
            lines.append(
                f"| {size} | {steps} | {1e3 * row['p50']:.1f} | {1e3 * row['p99']:.1f} | {1e3 * row['floor_here']:.1f} | "
                f"{1e3 * row['floor_h200']:.2f} | {row['forecasts_per_second']:.2f} | {memory / 1e9:.2f} |"
            )
    return finish(report, lines, out)


def seconds_of(run: Callable[[], object], runs: int) -> list[float]:
    """Of each run, after two that do not count."""
    seconds = []
    for i in range(-WARM_UP_RUNS, runs):
        start = time.perf_counter()
        run()  # its tracks come back as numpy arrays, so a GPU has finished
        if i >= 0:
            seconds.append(time.perf_counter() - start)
    return seconds
