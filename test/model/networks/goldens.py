"""How far networks are from the official ones' outputs under formula weights (test/data/whn_*.npz), on any device."""

import json
from pathlib import Path

import numpy as np
import torch
from golden_inputs import normal, relative_error

from trajforecast_model.benchmarks.formula_weights import formula_weights
from trajforecast_model.conversion.whn import convert_whn
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.tracks.grid import denormalise

DATA = Path(__file__).parents[2] / "data"
TOLERANCE = 1e-4


def write_golden_checkpoint(folder: Path) -> Path:
    """0.8 GB, through the converter's own path."""
    for name in ("denoiser_b", "vae"):
        shapes = json.loads((DATA / f"whn_{name}_libero.keys.json").read_text())
        torch.save(formula_weights(shapes), folder / f"{name}.pt")
    convert_whn(folder / "denoiser_b.pt", folder / "vae.pt", folder / "checkpoint")
    return folder / "checkpoint"


def denoiser_errors(forecaster: Forecaster) -> dict[str, float]:
    golden = np.load(DATA / "whn_denoiser_b_libero.npz")
    t = torch.from_numpy(golden["t"]).to(forecaster.device)
    y = forecaster.denoiser(
        _normal(forecaster, 100, [2, 16, 8, 16, 16]),
        t,
        _normal(forecaster, 101, [2, 81, 1024]),
        _normal(forecaster, 102, [2, 768]),
    )
    return {"velocity": relative_error(y, golden["y"])}


def vae_errors(forecaster: Forecaster) -> dict[str, float]:
    golden = np.load(DATA / "whn_vae_libero.npz")
    centres = 2 * (torch.arange(64) + 0.5) / 64 - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"))
    tracks = (grid + 0.05 * normal(200, [1, 16, 2, 64, 64]).cumsum(1) / 4).to(forecaster.device)
    image_tokens = _normal(forecaster, 201, [1, 81, 1024])
    mean, std = forecaster.vae.encode(tracks, image_tokens)
    decoded = forecaster.vae.decode(mean, image_tokens)
    return {
        "mean": relative_error(mean, golden["mean"]),
        "std": relative_error(std, golden["std"]),
        "decoded": relative_error(decoded, golden["y"]),
    }


def sampling_errors(forecaster: Forecaster) -> dict[str, float]:
    golden = np.load(DATA / "whn_sample_b_libero.npz")
    image_tokens, text = _normal(forecaster, 501, [1, 81, 1024]), _normal(forecaster, 502, [1, 768])
    noise = normal(500, [1, 15, 8, 16, 16])[:, None]  # one sample
    latents = forecaster.sample_latents(image_tokens, text, noise, steps=9)
    tracks = forecaster.decode_latents(latents, image_tokens)[:, 0]  # [1, 16, 2, 64, 64]
    pixels = denormalise(tracks.movedim(2, -1), (128, 128)).movedim(-1, 2)
    return {
        "first": relative_error(latents[:, 0, :1], golden["first"]),
        "latents": relative_error(latents[:, 0], golden["latent"]),
        "pixels": relative_error(pixels, golden["tracks_px"]),
    }


def _normal(forecaster: Forecaster, seed: int, shape: list[int]) -> torch.Tensor:
    return normal(seed, shape).to(forecaster.device, forecaster.dtype)
