"""Our networks reproduce the official ones' outputs under formula weights, through the converter's own path."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_inputs import normal, relative_error

from trajforecast_model.benchmarks.formula_weights import formula_weights
from trajforecast_model.conversion.whn import convert_whn
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.tracks.grid import denormalise

DATA = Path(__file__).parents[2] / "data"
TOLERANCE = 1e-4

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory) -> Iterator[Forecaster]:
    folder = tmp_path_factory.mktemp("whn")
    for name in ("denoiser_b", "vae"):
        shapes = json.loads((DATA / f"whn_{name}_libero.keys.json").read_text())
        torch.save(formula_weights(shapes), folder / f"{name}.pt")
    convert_whn(folder / "denoiser_b.pt", folder / "vae.pt", folder / "checkpoint")
    yield Forecaster.from_pretrained(folder / "checkpoint")
    shutil.rmtree(folder)  # 0.8 GB


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def test_denoiser(forecaster):
    golden = np.load(DATA / "whn_denoiser_b_libero.npz")
    t = torch.from_numpy(golden["t"])
    y = forecaster.denoiser(normal(100, [2, 16, 8, 16, 16]), t, normal(101, [2, 81, 1024]), normal(102, [2, 768]))
    assert relative_error(y, golden["y"]) < TOLERANCE


def test_vae(forecaster):
    golden = np.load(DATA / "whn_vae_libero.npz")
    centres = 2 * (torch.arange(64) + 0.5) / 64 - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"))
    tracks = grid + 0.05 * normal(200, [1, 16, 2, 64, 64]).cumsum(1) / 4
    image_tokens = normal(201, [1, 81, 1024])
    mean, std = forecaster.vae.encode(tracks, image_tokens)
    assert relative_error(mean, golden["mean"]) < TOLERANCE
    assert relative_error(std, golden["std"]) < TOLERANCE
    assert relative_error(forecaster.vae.decode(mean, image_tokens), golden["y"]) < TOLERANCE


def test_denoiser_of_tracks(tmp_path):
    """Physion's, from a file as it is published."""
    shapes = json.loads((DATA / "whn_raw_physion.keys.json").read_text())
    weights = {f"module._orig_mod.{key}": value for key, value in formula_weights(shapes).items()}
    torch.save({"model_state_dict": weights, "optimizer_state_dict": {}, "epoch": 42}, tmp_path / "ckpt_epoch=42.pth")
    convert_whn(tmp_path / "ckpt_epoch=42.pth", None, tmp_path / "checkpoint", release="physion")
    golden = np.load(DATA / "whn_raw_physion.npz")
    denoiser = Forecaster.from_pretrained(tmp_path / "checkpoint").denoiser
    y = denoiser(normal(700, [1, 30, 2, 32, 32]), torch.tensor([0.37]), normal(701, [1, 324, 1024]))
    assert relative_error(y, golden["y"]) < TOLERANCE
    shutil.rmtree(tmp_path)  # 0.4 GB


def test_sampling(forecaster):
    golden = np.load(DATA / "whn_sample_b_libero.npz")
    image_tokens, text = normal(501, [1, 81, 1024]), normal(502, [1, 768])
    noise = normal(500, [1, 15, 8, 16, 16])[:, None]  # one sample
    latents = forecaster.sample_latents(image_tokens, text, noise, steps=9)
    assert relative_error(latents[:, 0, :1], golden["first"]) < TOLERANCE
    assert relative_error(latents[:, 0], golden["latent"]) < TOLERANCE
    tracks = forecaster.decode_latents(latents, image_tokens)[:, 0]  # [1, 16, 2, 64, 64]
    pixels = denormalise(tracks.movedim(2, -1), (128, 128)).movedim(-1, 2)
    assert relative_error(pixels, golden["tracks_px"]) < TOLERANCE
