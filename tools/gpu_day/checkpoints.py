"""Forecasts of networks that `bench sizes` does not make: the shipped checkpoints', and TrajLoom's in its published size."""

import math
from collections.abc import Callable

import numpy as np
import torch

from gpu_day.scale import Scale
from trajforecast_model.benchmarks.libero_models import forecast, request_for
from trajforecast_model.benchmarks.sizes import seconds_of
from trajforecast_model.checkpoint import SHIPPED
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.networks.trajloom.generator import Generator, GeneratorConfig
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE, TrajloomVAEConfig
from trajforecast_model.networks.trajloom.visibility import VisibilityHead, VisibilityHeadConfig
from trajforecast_model.trajloom.checkpoint import LatentStatistics, TrajloomConfig, TrajloomNetworks
from trajforecast_model.trajloom.forecaster import TrajloomForecaster


def time_shipped(scale: Scale) -> dict:
    """From image tokens to tracks in main memory, as `bench sizes`, at the steps that each checkpoint asks for."""
    rows = []
    for folder in sorted(SHIPPED.glob("*/denoiser.safetensors")):  # a policy forecasts nothing
        for mode in [None, *(["graphs"] if scale.graphs else [])]:
            forecaster = Forecaster.from_pretrained(folder.parent, scale.device, scale.dtype)
            if mode:
                forecaster.compile(mode)
            request, steps = request_for(forecaster.config, scale.views, scale.k), forecaster.config.steps
            rows.append(
                {"checkpoint": folder.parent.name, "evaluations": steps, "compiled": mode}
                | _milliseconds(lambda f=forecaster, r=request: forecast(f, r, None), scale.runs)
            )
            print(rows[-1])
            forecaster.release()
    return {"views": scale.views, "k": scale.k, "rows": rows}


def time_trajloom(scale: Scale) -> dict:
    """From the past of one view to its sampled futures, with their visibility: what a TrajLoom checkpoint's user waits for."""
    forecaster = _untrained_trajloom(scale)
    still = forecaster.query_points().astype(np.float32)
    past = {"camera": np.broadcast_to(still, (forecaster.config.history, *still.shape)).copy()}
    seen = {"camera": np.ones(past["camera"].shape[:-1], bool)}
    rows = []
    for k in dict.fromkeys((1, scale.k)):
        run = _milliseconds(lambda k=k: forecaster.predict_from_history(past, seen, k=k), scale.other_runs)
        rows.append({"k": k, "evaluations": forecaster.config.steps} | run)
        print(rows[-1])
    return {"frames": forecaster.config.num_frames, "rows": rows}


def _untrained_trajloom(scale: Scale) -> TrajloomForecaster:
    torch.manual_seed(0)
    size = {} if scale.depth is None else {"depth": 2 * scale.depth, "dim": 64, "heads": 1, "num_frames": 9}
    image = {} if scale.depth is None else {"image_size": (64, 96)}
    vae, head = TrajloomVAEConfig(**size, **image), VisibilityHeadConfig()
    generator = GeneratorConfig(cells=math.prod(vae.cells.shape), **size)
    with torch.device(scale.device):
        networks = TrajloomNetworks(TrajloomVAE(vae), Generator(generator), VisibilityHead(head))
    channels = vae.latent_channels
    statistics = LatentStatistics((0.0,) * channels, (1.0,) * channels, "untrained")
    config = TrajloomConfig(vae=vae, generator=generator, latents=statistics, visibility=head)
    return TrajloomForecaster(config, networks, model_id="untrained", device=scale.device, dtype=scale.dtype)


def _milliseconds(run: Callable[[], object], runs: int) -> dict[str, float]:
    seconds = seconds_of(run, runs)
    return {name: 1e3 * float(np.percentile(seconds, share)) for name, share in (("p50_ms", 50), ("p99_ms", 99))}
