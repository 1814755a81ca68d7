"""TrajLoom's networks reproduce the official ones' outputs under formula weights, through the converter's own path."""

import json
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from golden_inputs import normal, relative_error
from goldens import DATA

from trajforecast_model.benchmarks.formula_weights import trajloom_weights
from trajforecast_model.cli import main
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.trajloom.forecaster import TrajloomForecaster
from trajforecast_model.trajloom.past import future_in_pixels

pytestmark = pytest.mark.slow

TOLERANCE = 2e-5  # with the tanh GELU the errors are 7e-5 and more
ENTRIES = {"vae": "vae", "generator": "generator", "visibility": "predictor"}  # as the released files have them
HEIGHT, WIDTH, CELL = 96, 160, 32


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory) -> Iterator[TrajloomForecaster]:
    folder = tmp_path_factory.mktemp("trajloom")
    arguments = ["convert", "trajloom", "--out", str(folder / "checkpoint")]
    for name, entry in ENTRIES.items():
        shapes = json.loads((DATA / f"trajloom_{name}.keys.json").read_text())
        torch.save({entry: trajloom_weights(shapes)}, folder / f"{name}.pt")
        arguments += [f"--{name}", str(folder / f"{name}.pt")]
    assert main(arguments) == 0
    for name in ENTRIES:
        (folder / f"{name}.pt").unlink()
    yield Forecaster.from_pretrained(folder / "checkpoint")
    shutil.rmtree(folder)  # 1.4 GB


@pytest.fixture(autouse=True)
def _in_inference():
    with torch.inference_mode():
        yield


def uniform(seed: int, shape: list[int]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def normalised_tracks(seed: int) -> torch.Tensor:
    """[1, 81, 2, 3, 5]"""
    y, x = np.mgrid[0:HEIGHT:CELL, 0:WIDTH:CELL]
    start = torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 1, 2)).float()
    pixels = start + 4 * normal(seed, [15, 81, 2]).cumsum(1)
    return (2 * pixels / torch.tensor([WIDTH, HEIGHT]) - 1).permute(1, 2, 0).reshape(1, 81, 2, 3, 5)


def conditions(seed: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Video and text."""
    video = normal(seed + 3, [batch, 21, 15, 16]) + normal(seed + 4, [batch, 1, 1, 16])
    return video, normal(seed + 6, [batch, 4096])


def test_vae(forecaster):
    golden, vae = np.load(DATA / "trajloom_vae.npz"), forecaster.vae
    cells = normalised_tracks(900)
    mean, std = vae.encode(cells)
    assert relative_error(mean, golden["mean"]) < TOLERANCE
    assert relative_error(std, golden["std"]) < TOLERANCE
    field = vae.config.cells.spread(cells)
    dense, _ = vae.encode(field + 0.05 * normal(901, [1, 81, 2, HEIGHT, WIDTH]))
    assert relative_error(dense, golden["mean_dense"]) < TOLERANCE
    decoded = vae.decode_field(mean)
    assert relative_error(decoded[..., ::7, ::11], golden["y"]) < TOLERANCE
    assert relative_error(decoded[:, 40], golden["y_frame40"]) < TOLERANCE


def test_generator(forecaster):
    golden = np.load(DATA / "trajloom_generator.npz")
    z_t, t = normal(910, [2, 21, 15, 16]), torch.from_numpy(golden["t"])
    history = normal(911, [2, 21, 15, 16]) + normal(912, [2, 1, 1, 16])
    video, text = conditions(910, 2)
    seen = uniform(915, [2, 21, 15]) > 0.3
    velocity = forecaster.denoiser(z_t, t, history, visibility=seen, video=video, text=text)
    assert relative_error(velocity, golden["y"]) < TOLERANCE
    assert relative_error(forecaster.denoiser(z_t, t, history), golden["y_bare"]) < TOLERANCE


def test_visibility_head(forecaster):
    logits = forecaster.visibility_head(normal(930, [2, 21, 15, 16]))
    assert relative_error(logits, np.load(DATA / "trajloom_visibility.npz")["logits"]) < TOLERANCE


def test_sampling(forecaster):
    golden = np.load(DATA / "trajloom_sample.npz")
    tracks, sampler = normalised_tracks(940), forecaster._sampler
    history = sampler.encode_history(tracks)
    assert relative_error(history, golden["hist"]) < TOLERANCE
    noise = normal(947, [1, 21, 15, 16])
    noise[:, :1] = history[:, -1:] + 0.1 * normal(948, [1, 1, 15, 16])
    video, text = conditions(940, 1)
    seen = uniform(945, [1, 81, 15]) > 0.7
    twice = [torch.cat([x, x]) for x in (history, noise, video, text)]
    visibility = torch.cat([seen, torch.zeros_like(seen)])  # the second as without any
    history, noise, video, text = twice
    latents = forecaster.sample_latents_with_history(
        history, noise, visibility=visibility, video=video, text=text, steps=int(golden["steps"])
    )
    assert relative_error(latents[:1], golden["latent"]) < TOLERANCE
    assert relative_error(latents[1:], golden["latent_without_hist_vis"]) < TOLERANCE

    samples = latents[:1, None]
    probability = sampler.visible(samples)[:, 0]
    assert relative_error(probability, golden["probability"]) < TOLERANCE
    pixels, inside = future_in_pixels(sampler.decode(samples)[0], (HEIGHT, WIDTH), forecaster.config)
    expected = torch.from_numpy(golden["tracks_px"]) + 0.5  # ours count from the corner of the first pixel
    torch.testing.assert_close(pixels.flatten(2, 3), expected, rtol=TOLERANCE, atol=TOLERANCE * WIDTH)
    assert np.array_equal((probability > 0.5) & inside.flatten(2, 3), golden["visible"])
