"""The visibility head: trained beside a finished forecaster, whose forecasts then say what will be seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_shards import window, write_synthetic_data
from tiny_model import tiny_config, write_tiny_checkpoint
from tiny_runs import QUIET, run

from trajforecast_model import Forecaster
from trajforecast_model.data.shards import DatasetInfo, write_info, write_shard
from trajforecast_model.networks.visibility_head import VisibilityHead, VisibilityHeadConfig


def config(data, out, forecaster, steps=2) -> dict:
    return {
        "out": str(out),
        "forecaster": str(forecaster),
        "data": {"folder": str(data), "workers": 0},
        "optimisation": dict(steps=steps, batch_size=8, learning_rate=1e-2, warmup_steps=2, precision="float32"),
        "logging": dict(QUIET),
        "dim": 32,
        "heads": 1,
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Windows whose points in the left half are hidden in the second half of the future."""
    folder, info = tmp_path_factory.mktemp("hidden"), DatasetInfo(labeler="exact", stride=1)
    write_info(folder, info)
    for number in range(10):
        windows = [window(np.random.default_rng(number), number, view, info) for view in info.views]
        seen = np.ones_like(windows[0].visibility)
        seen[8:, :, :32] = False
        split = "train" if number < 8 else "val"
        write_shard(
            folder / split / f"d__demo_{number:04d}.arrow", [replace(w, visibility=seen) for w in windows], info
        )
    return folder


def test_a_forecast_says_what_will_be_seen_once_the_head_is_trained(data, tmp_path):
    write_tiny_checkpoint(tmp_path / "forecaster")
    assert run("visibility", config(data, tmp_path / "run", tmp_path / "forecaster", steps=40), tmp_path) == 0
    picture = np.zeros((128, 128, 3), np.uint8)
    without = Forecaster.from_pretrained(tmp_path / "forecaster").predict({"side": picture}, "push the disc right", k=2)
    forecast = Forecaster.from_pretrained(tmp_path / "run").predict({"side": picture}, "push the disc right", k=2)
    assert without.visibility is None
    np.testing.assert_array_equal(forecast.tracks, without.tracks)
    assert forecast.visibility.shape == forecast.tracks.shape[:-1]
    assert (forecast.visibility[:, :, 0] > 0.999).all(), "what is queried is seen"
    assert forecast.visibility[:, :, 8:, :, :32].mean() < 0.3 < 0.7 < forecast.visibility[:, :, 1:8].mean()


def test_a_forecaster_on_tracks_themselves_is_refused(tmp_path, capsys):
    from trajforecast_model.checkpoint import save_config

    tiny = tiny_config()
    denoiser = replace(tiny.denoiser, num_frames=16, grid=(64, 64), channels=2, patch_size=16)
    (tmp_path / "forecaster").mkdir()
    save_config(replace(tiny, vae=None, denoiser=denoiser, latent_std=(1.0, 1.0)), tmp_path / "forecaster")
    write_synthetic_data(tmp_path / "data")
    assert run("visibility", config(tmp_path / "data", tmp_path / "run", tmp_path / "forecaster"), tmp_path) == 2
    assert "has no VAE" in capsys.readouterr().err


def test_samples_are_told_apart():
    head = VisibilityHead(VisibilityHeadConfig(6, (8, 8), (2, 4, 4, 4), (3, 3), 16, dim=32, heads=1)).eval()
    latents, tokens = torch.randn(2, 3, 2, 4, 4, 4), torch.randn(2, 9, 16)
    with torch.no_grad():
        together = head(latents, tokens)
        alone = head(latents[1:, 2:], tokens[1:])
    assert together.shape == (2, 3, 6, 8, 8)
    torch.testing.assert_close(together[1, 2], alone[0, 0])
