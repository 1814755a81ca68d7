"""How long a forecast takes and how much memory it needs, on this machine."""

import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import trange

from trajforecast_model.checkpoint import write_atomically
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
    forecaster = Forecaster.from_pretrained(checkpoint, device=device, dtype=dtype)
    known = forecaster.config.views
    if not 1 <= num_views <= len(known):
        raise ValueError(f"views: got {num_views}, expected 1 to {len(known)}, the views of the checkpoint")
    generator = np.random.default_rng(0)
    images = {
        view: generator.integers(0, 256, (*forecaster.config.image_size, 3), dtype=np.uint8)
        for view in known[:num_views]
    }

    on_gpu = forecaster.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(forecaster.device)
    seconds = []
    for run in trange(-WARM_UP_RUNS, runs, desc="bench", unit=" runs", leave=False):
        start = time.perf_counter()
        # The tracks come back as numpy arrays, so a GPU has finished when this returns.
        forecaster.predict(images, INSTRUCTION, k=k, steps=steps, seed=max(run, 0))
        if run >= 0:
            seconds.append(time.perf_counter() - start)

    report = {
        "model": forecaster.model_id,
        "device": torch.cuda.get_device_name(forecaster.device) if on_gpu else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "dtype": dtype,
        "torch": torch.__version__,
        "views": num_views,
        "k": k,
        "solver_steps": steps or forecaster.config.steps,
        "runs": runs,
        "seconds": {
            "p50": float(np.percentile(seconds, 50)),
            "p99": float(np.percentile(seconds, 99)),
            "mean": float(np.mean(seconds)),
        },
        "peak_process_memory_bytes": _peak_memory(),
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(forecaster.device) if on_gpu else None,
    }
    _print(report)
    if out is not None:
        write_atomically(Path(out), (json.dumps(report, indent=2) + "\n").encode())
        print(f"wrote {out}")
    return report


def _peak_memory() -> int:
    """The most physical memory this process ever held, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _print(report: dict) -> None:
    memory = f"{report['peak_process_memory_bytes'] / 1e9:.2f} GB of memory"
    if report["peak_gpu_memory_bytes"] is not None:
        memory += f", {report['peak_gpu_memory_bytes'] / 1e9:.2f} GB of GPU memory"
    print(
        f"{report['model']}: {report['views']} views, k = {report['k']}, {report['solver_steps']} solver steps, "
        f"{report['dtype']} on {report['device']}, {report['threads']} threads\n"
        f"one forecast: median {report['seconds']['p50']:.3f} s, 99th percentile {report['seconds']['p99']:.3f} s "
        f"over {report['runs']} runs; {memory}"
    )
