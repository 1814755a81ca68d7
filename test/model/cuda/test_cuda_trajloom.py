"""TrajLoom's networks on a GPU: the official ones' outputs, and training of all three."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import logged, run
from tiny_trajloom import FRAMES, generator_config, vae_config, visibility_config, write_discs
from trajloom_goldens import (
    generator_errors,
    sampling_errors,
    vae_errors,
    visibility_errors,
    write_trajloom_checkpoint,
)

from trajforecast_model import Forecaster
from trajforecast_model.trajloom.forecaster import TrajloomForecaster

BOUNDS = {"float32": 1e-4, "bfloat16": 0.05}


@pytest.fixture(scope="module")
def golden_checkpoint(gpu, tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("trajloom")
    yield write_trajloom_checkpoint(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=list(BOUNDS))
def forecaster(request, golden_checkpoint, gpu) -> TrajloomForecaster:
    return Forecaster.from_pretrained(golden_checkpoint, device=gpu, dtype=request.param)


@pytest.mark.parametrize("errors", [vae_errors, generator_errors, visibility_errors, sampling_errors])
def test_outputs_are_the_official_ones(forecaster, errors):
    bound = BOUNDS[str(forecaster.dtype).removeprefix("torch.")]
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        assert max(errors(forecaster).values()) < bound


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_discs(tmp_path_factory.mktemp("discs"))


def test_all_three_networks_learn_here_and_forecast_on_a_cpu(device, data, tmp_path):
    vae, generator, whole = (tmp_path / name for name in ("vae", "generator", "whole"))
    configs = {
        "trajloom_vae": vae_config(data, vae, steps=4),
        "trajloom": generator_config(data, generator, vae, steps=4),
        "trajloom_visibility": visibility_config(data, whole, generator, steps=4),
    }
    for stage, config in configs.items():
        config["optimisation"]["precision"] = "bfloat16"
        assert run(stage, config, tmp_path / stage) == 0
        assert np.isfinite(list(logged(Path(config["out"])).values())).all()
    past = np.tile(Forecaster.from_pretrained(whole).query_points((128, 128)), (FRAMES, 1, 1, 1)).astype(np.float32)
    here, there = (
        Forecaster.from_pretrained(whole, place).predict_from_history({"side": past}, k=2) for place in (device, "cpu")
    )
    np.testing.assert_allclose(here.tracks, there.tracks, atol=0.1)
