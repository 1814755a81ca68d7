"""Where the time of a forecast or a training step goes: the twenty kernels that take most of it."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from gpu_day.scale import Scale
from trajforecast_model.benchmarks.libero_models import forecast, libero_config, request_for, untrained_forecaster
from trajforecast_model.benchmarks.training_programs import prepare_ours

ROWS = 20


def profile_of(what: str, scale: Scale, official: Path) -> str:
    """The table of "forecast", "student" or "training"."""
    run = _training(scale, official) if what == "training" else _forecast(scale, 9 if what == "forecast" else 2)
    run()  # what is made once does not count
    on_gpu = scale.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as recorded:
        run()
        if on_gpu:
            torch.cuda.synchronize()
    by = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    return recorded.key_averages().table(sort_by=by, row_limit=ROWS, max_name_column_width=80)


def _forecast(scale: Scale, evaluations: int) -> Callable[[], object]:
    config = libero_config(scale.size, scale.depth, grid=scale.grid)
    forecaster = untrained_forecaster(config, scale.device, scale.dtype)
    request = request_for(config, scale.views, scale.k)
    return lambda: forecast(forecaster, request, min(evaluations, scale.most_evaluations))


def _training(scale: Scale, official: Path) -> Callable[[], object]:
    config = libero_config(scale.size, scale.depth, grid=scale.grid)
    return prepare_ours(official, config, scale.batch, scale.device, scale.dtype)
