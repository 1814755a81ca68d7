"""How far TrajLoom's networks are from the official ones' outputs under formula weights (test/data/trajloom_*.npz), on any device."""

import json
from pathlib import Path

import numpy as np
import torch
from golden_inputs import normal, relative_error
from goldens import DATA

from trajforecast_model.benchmarks.formula_weights import trajloom_weights
from trajforecast_model.cli import main
from trajforecast_model.trajloom.forecaster import TrajloomForecaster
from trajforecast_model.trajloom.past import future_in_pixels

ENTRIES = {"vae": "vae", "generator": "generator", "visibility": "predictor"}  # as the released files have them
HEIGHT, WIDTH, CELL = 96, 160, 32


def write_trajloom_checkpoint(folder: Path) -> Path:
    """1.4 GB, through the converter's own path."""
    arguments = ["convert", "trajloom", "--out", str(folder / "checkpoint")]
    for name, entry in ENTRIES.items():
        shapes = json.loads((DATA / f"trajloom_{name}.keys.json").read_text())
        torch.save({entry: trajloom_weights(shapes)}, folder / f"{name}.pt")
        arguments += [f"--{name}", str(folder / f"{name}.pt")]
    assert main(arguments) == 0
    for name in ENTRIES:
        (folder / f"{name}.pt").unlink()
    return folder / "checkpoint"


def vae_errors(forecaster: TrajloomForecaster) -> dict[str, float]:
    golden, vae = np.load(DATA / "trajloom_vae.npz"), forecaster.vae
    cells = _placed(forecaster, normalised_tracks(900))
    mean, std = vae.encode(cells)
    noise = _placed(forecaster, normal(901, [1, 81, 2, HEIGHT, WIDTH]))
    dense, _ = vae.encode(vae.config.cells.spread(cells) + 0.05 * noise)
    decoded = vae.decode_field(mean)
    return {
        "mean": relative_error(mean, golden["mean"]),
        "std": relative_error(std, golden["std"]),
        "mean of a dense field": relative_error(dense, golden["mean_dense"]),
        "decoded": relative_error(decoded[..., ::7, ::11], golden["y"]),
        "decoded frame": relative_error(decoded[:, 40], golden["y_frame40"]),
    }


def generator_errors(forecaster: TrajloomForecaster) -> dict[str, float]:
    golden = np.load(DATA / "trajloom_generator.npz")
    z_t = _placed(forecaster, normal(910, [2, 21, 15, 16]))
    t = torch.from_numpy(golden["t"]).to(forecaster.device)
    history = _placed(forecaster, normal(911, [2, 21, 15, 16]) + normal(912, [2, 1, 1, 16]))
    video, text = (_placed(forecaster, given) for given in conditions(910, 2))
    seen = _placed(forecaster, uniform(915, [2, 21, 15]) > 0.3)
    velocity = forecaster.denoiser(z_t, t, history, visibility=seen, video=video, text=text)
    return {
        "velocity": relative_error(velocity, golden["y"]),
        "velocity by history alone": relative_error(forecaster.denoiser(z_t, t, history), golden["y_bare"]),
    }


def visibility_errors(forecaster: TrajloomForecaster) -> dict[str, float]:
    logits = forecaster.visibility_head(_placed(forecaster, normal(930, [2, 21, 15, 16])))
    return {"logits": relative_error(logits, np.load(DATA / "trajloom_visibility.npz")["logits"])}


def sampling_errors(forecaster: TrajloomForecaster) -> dict[str, float]:
    golden, sampler = np.load(DATA / "trajloom_sample.npz"), forecaster._sampler
    history = sampler.encode_history(normalised_tracks(940))
    noise = normal(947, [1, 21, 15, 16]).to(history.device)
    noise[:, :1] = history[:, -1:] + 0.1 * normal(948, [1, 1, 15, 16]).to(history.device)
    seen = uniform(945, [1, 81, 15]) > 0.7
    history, noise, video, text = (torch.cat([x, x]) for x in (history, noise, *conditions(940, 1)))
    latents = forecaster.sample_latents_with_history(
        history,
        noise,
        visibility=torch.cat([seen, torch.zeros_like(seen)]),  # the second as without any
        video=video,
        text=text,
        steps=int(golden["steps"]),
    )
    samples = latents[:1, None]
    probability = sampler.visible(samples)[:, 0]
    pixels, inside = future_in_pixels(sampler.decode(samples)[0], (HEIGHT, WIDTH), forecaster.config)
    visible = ((probability > 0.5) & inside.flatten(2, 3)).cpu().numpy()
    return {
        "history": relative_error(history[:1], golden["hist"]),
        "latents": relative_error(latents[:1], golden["latent"]),
        "latents of a past that nothing was seen of": relative_error(latents[1:], golden["latent_without_hist_vis"]),
        "probability": relative_error(probability, golden["probability"]),
        "pixels": relative_error(pixels.flatten(2, 3) - 0.5, golden["tracks_px"]),  # ours count from the pixel's corner
        "visible": float((visible != golden["visible"]).mean()),
    }


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


def _placed(forecaster: TrajloomForecaster, given: torch.Tensor) -> torch.Tensor:
    return given.to(forecaster.device, forecaster.dtype)
