"""How long a forecast takes and how much memory it needs, on this machine."""

import time
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import trange

from trajforecast_model.benchmarks.cost import floor_lines, floors
from trajforecast_model.benchmarks.libero_models import request_for
from trajforecast_model.benchmarks.report import environment, finish
from trajforecast_model.benchmarks.timing import memory_of, peak_memory
from trajforecast_model.forecaster import Forecaster

WARM_UP_RUNS = 2
INSTRUCTION = "pick up the milk and place it in the basket"


def bench(
    checkpoint: str | Path,
    k: int = 8,
    steps: int | None = None,
    num_views: int = 2,
    runs: int = 20,
    device: str = "cpu",
    dtype: str = "float32",
    out: Path | None = None,
) -> dict:
    """Times `Forecaster.predict` from images in memory to tracks in memory, prints a summary and returns it.

    The images are noise of the checkpoint's own size; the time does not depend on what they show. The instruction is
    embedded once, during warm-up, as in a robot's run.

    Raises:
        ValueError: for numbers out of range, or more views than the checkpoint knows.
    """
    if runs < 1:
        raise ValueError(f"runs: got {runs}, expected at least 1")
    forecaster = Forecaster.of_pictures(checkpoint, device=device, dtype=dtype)
    known = forecaster.config.views
    if not 1 <= num_views <= len(known):
        raise ValueError(f"views: got {num_views}, expected 1 to {len(known)}, the views of the checkpoint")
    generator = np.random.default_rng(0)
    images = {
        view: generator.integers(0, 256, (*forecaster.config.image_size, 3), dtype=np.uint8)
        for view in known[:num_views]
    }

    seconds = []
    for run in trange(-WARM_UP_RUNS, runs, desc="bench", unit=" runs", leave=False):
        start = time.perf_counter()
        # The tracks come back as numpy arrays, so a GPU has finished when this returns.
        forecaster.predict(images, INSTRUCTION, k=k, steps=steps, seed=max(run, 0))
        if run >= 0:
            seconds.append(time.perf_counter() - start)
    gpu_memory = None
    if forecaster.device.type == "cuda":
        predict = partial(forecaster.predict, images, INSTRUCTION, k=k, steps=steps)
        gpu_memory = memory_of(predict, forecaster.device)["peak"]

    report = environment(forecaster.device, dtype) | {
        "model": forecaster.model_id,
        "views": num_views,
        "k": k,
        "solver_steps": steps or forecaster.config.steps,
        "runs": runs,
        "seconds": {
            "p50": float(np.percentile(seconds, 50)),
            "p99": float(np.percentile(seconds, 99)),
            "mean": float(np.mean(seconds)),
        },
        "peak_process_memory_bytes": peak_memory(),
        "floor": floors(forecaster, request_for(forecaster.config, num_views, k), steps or forecaster.config.steps),
        "peak_gpu_memory_bytes": gpu_memory,
    }
    memory = f"{report['peak_process_memory_bytes'] / 1e9:.2f} GB of memory"
    if gpu_memory is not None:
        memory += f", {report['peak_gpu_memory_bytes'] / 1e9:.2f} GB of GPU memory"
    lines = [
        f"{report['model']}: {num_views} views, k = {k}, {report['solver_steps']} solver steps, {dtype} on "
        f"{report['device']}, {report['threads']} threads",
        f"one forecast: median {report['seconds']['p50']:.3f} s, 99th percentile {report['seconds']['p99']:.3f} s "
        f"over {runs} runs; {memory}",
    ]
    return finish(report, lines + floor_lines(report["floor"], report["seconds"]["p50"]), out)
