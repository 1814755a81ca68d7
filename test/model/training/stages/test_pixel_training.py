"""The denoiser that generates pixels: trained by the same verb, on data with frames, and scored by the same protocol."""

import json

import numpy as np
import pytest
from synthetic_shards import write_synthetic_data
from tiny_runs import denoiser_config, logged, run

from trajforecast_model.checkpoint import load_config
from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.forecaster import Forecaster


@pytest.fixture(scope="module")
def video_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("discs_with_frames")
    write_synthetic_data(folder, info=DatasetInfo("exact", 1, grid=(32, 32), views=("side",), frame_size=(32, 32)))
    return folder


def pixel_config(data, out, steps: int, **changes) -> dict:
    config = denoiser_config(data, out, None, steps, target="pixels", text_encoder=None, **changes)
    config["denoiser"] |= {"patch_size": 8}
    return config


def test_a_run_of_few_steps_learns_pixels_and_is_evaluated(video_data, tmp_path):
    out = tmp_path / "run"
    assert run("denoiser", pixel_config(video_data, out, 12, moving_weight=2.0), tmp_path) == 0
    losses = list(logged(out).values())
    assert np.mean(losses[-3:]) < 0.9 * losses[0]

    config = load_config(out / "checkpoint")
    assert config.generates == "pixels" and config.denoiser.grid == (32, 32) and config.denoiser.channels == 3
    assert config.grid == (32, 32), "forecasts are dense tracks all the same"
    command = ["evaluate", "--checkpoint", str(out / "checkpoint"), "--data", str(video_data), "--max-windows", "1"]
    assert main([*command, "-k", "1", "2", "--out", str(tmp_path / "report.json")]) == 0
    side = json.loads((tmp_path / "report.json").read_text())["views"]["side"]
    assert 0 < side["min"]["2"] <= side["min"]["1"]


def test_the_one_door_does_not_take_it_for_a_forecaster_of_tracks(video_data, tmp_path):
    out = tmp_path / "run"
    assert run("denoiser", pixel_config(video_data, out, 1), tmp_path) == 0
    with pytest.raises(ValueError, match="generates pixels, not tracks"):
        Forecaster.from_pretrained(out / "checkpoint")


def test_pixels_need_frames_and_no_vae(data, video_data, barely_trained_vae, tmp_path, capsys):
    config = pixel_config(data, tmp_path / "run", 1)
    assert run("denoiser", config, tmp_path) == 2
    assert "--frame-size" in capsys.readouterr().err
    assert run("denoiser", config | {"vae": str(barely_trained_vae)}, tmp_path) == 2
    assert "set vae to null" in capsys.readouterr().err
