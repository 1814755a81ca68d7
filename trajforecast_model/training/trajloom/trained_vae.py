"""The folder that `trajforecast train trajloom_vae` leaves: the VAE, and how its latents are normalised."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from trajforecast_model.checkpoint import export_within, load_weights, save_weights
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import from_dict, to_dict
from trajforecast_model.files.json_files import read_object
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE, TrajloomVAEConfig
from trajforecast_model.trajloom.checkpoint import LatentStatistics, fingerprint

CONFIG_FILE, WEIGHTS_FILE = "trajloom_vae.json", "vae.safetensors"


@dataclass(frozen=True)
class TrainedVAE:
    vae: TrajloomVAEConfig
    latents: LatentStatistics
    dt: float  # seconds between the frames of its data
    points: Literal["corner", "any"]  # which of the data's points in a cell it was trained on


def save_trained_vae(trained: TrainedVAE, vae: TrajloomVAE, folder: Path) -> None:
    save_weights(vae, folder / WEIGHTS_FILE)
    write_atomically(folder / CONFIG_FILE, (json.dumps(to_dict(trained), indent=2) + "\n").encode())


def load_trained_vae(source: str) -> tuple[TrainedVAE, TrajloomVAE]:
    """Raises ValueError where `source` is not of `trajforecast train trajloom_vae`, is damaged, or mixes two of them."""
    folder = Path(export_within(source))
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ValueError(
            f"vae: {folder} has no {CONFIG_FILE}; give the checkpoint folder of `trajforecast train trajloom_vae`"
        )
    values = read_object(path, "copy the checkpoint again, or train the VAE again")
    try:
        trained = from_dict(TrainedVAE, values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    vae = TrajloomVAE(trained.vae)
    load_weights(vae, folder / WEIGHTS_FILE)
    if (found := fingerprint(vae)) != trained.latents.vae:
        raise ValueError(
            f"{folder}: the latent statistics are of another VAE than {WEIGHTS_FILE} (encoder {trained.latents.vae}, here "
            f"{found}); copy the checkpoint again, or train the VAE again"
        )
    return trained, vae.eval().requires_grad_(False)


class NormalisedLatents:
    """A frozen VAE's latents, by their mean and scaled to zero mean and unit deviation, as the generator has them."""

    def __init__(self, vae: TrajloomVAE, statistics: LatentStatistics):
        self._vae, self._mean, self._std = vae, torch.tensor(statistics.mean), torch.tensor(statistics.std)

    @torch.no_grad()
    def __call__(self, positions: Tensor) -> Tensor:
        """Normalised tracks [B, T, 2, rows, columns] -> float32 [B, T', N, C]"""
        mean, _ = self._vae.to(positions.device).encode(positions)
        return (mean.float() - self._mean.to(mean.device)) / self._std.to(mean.device)
