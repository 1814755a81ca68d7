"""Checkpoints of TrajLoom: a folder like ours, whose config.json says `"kind": "trajloom"`.

config.json  vae.safetensors  generator.safetensors  visibility.safetensors (only where there is a visibility head)
image_encoder.safetensors (only where the generator looks at a picture through a trained one)
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from trajforecast_model.checkpoint import CONFIG_FILE, TRAJLOOM, kind_of, load_weights, save_weights
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import check_at_least, from_dict, to_dict
from trajforecast_model.flow.solvers import check_solver
from trajforecast_model.networks.image_encoder import ImageEncoderConfig, build_image_encoder
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.trajloom.generator import Generator, GeneratorConfig
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE, TrajloomVAEConfig
from trajforecast_model.networks.trajloom.visibility import VisibilityHead, VisibilityHeadConfig

UMT5 = TextEncoderConfig(source="google/umt5-xxl", pooling="mean", max_length=128, dim=4096)
_VAE, _GENERATOR, _VISIBILITY = "vae.safetensors", "generator.safetensors", "visibility.safetensors"
_IMAGE_ENCODER = "image_encoder.safetensors"


@dataclass(frozen=True)
class LatentStatistics:
    """By which latents are normalised, per channel, and whose latents they are."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    vae: str  # fingerprint of its encoder

    def __post_init__(self):
        if len(self.mean) != len(self.std):
            raise ValueError(f"latent statistics: {len(self.mean)} means and {len(self.std)} standard deviations")
        if not all(map(math.isfinite, self.mean)) or not all(0 < std < math.inf for std in self.std):
            raise ValueError("latent statistics: expected finite means and standard deviations above 0")


@dataclass(frozen=True)
class TrajloomConfig:
    """Everything needed to rebuild the networks and the preprocessing."""

    vae: TrajloomVAEConfig
    generator: GeneratorConfig
    latents: LatentStatistics
    visibility: VisibilityHeadConfig | None = None  # null: visibility is not forecast
    text_encoder: TextEncoderConfig | None = UMT5  # null: captions are not read
    image_encoder: ImageEncoderConfig | None = None  # null: the picture is not looked at, as in the official model
    dt: float = 1 / 24  # seconds between frames, unless the caller says otherwise: no network sees it
    steps: int = 10  # solver steps unless the caller says otherwise
    solver: str = "euler"  # "METHOD" or "METHOD@GRID", see flow/solvers.py
    # Standard deviation about the last latent of the past, from which the first one starts; null: it starts from noise.
    anchor_noise: float | None = 0.1
    point: tuple[float, float] = (0.0, 0.0)  # (x, y) of a cell's query point from its top-left pixel, in pixels
    any_point: bool = False  # whether the networks were trained on a cell's other points, too
    anchor: Literal["first", "present"] = "first"  # frame of the past in which the tracks are at their query points
    kind: Literal["trajloom"] = "trajloom"

    @property
    def image_size(self) -> tuple[int, int]:
        return self.vae.image_size

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of query points, one a cell."""
        return self.vae.cells.shape

    @property
    def history(self) -> int:
        """Frames of the past, the present one included."""
        return self.vae.num_frames

    @property
    def num_frames(self) -> int:
        """Frames of a forecast, the present one included."""
        return 1 + self.vae.num_frames

    def __post_init__(self):
        check_solver(self.solver)
        check_at_least(1, self, "steps")
        if self.anchor_noise is not None:
            check_at_least(0, self, "anchor_noise")
        text_dim = None if self.text_encoder is None else self.text_encoder.dim
        if text_dim != self.generator.text_dim:
            raise ValueError(f"the text encoder's width is {text_dim}, the generator takes {self.generator.text_dim}")
        encoder = self.image_encoder
        tokens = None if encoder is None else (encoder.dim, tuple(encoder.grid))
        taken = (
            None if self.generator.image_dim is None else (self.generator.image_dim, tuple(self.generator.image_grid))
        )
        if tokens != taken:
            raise ValueError(f"the image encoder's tokens are (width, grid) {tokens}, the generator takes {taken}")
        if not 0 < self.dt < math.inf:
            raise ValueError(f"dt: got {self.dt}, expected seconds between two frames")
        vae, generator = self.vae, self.generator
        rows, columns = self.grid
        ours = {"cells": rows * columns, "channels": vae.latent_channels, "frames": vae.num_frames}
        ours |= {"latent steps": vae.latent_frames}
        theirs = (generator.cells, generator.channels, generator.num_frames, generator.latent_frames)
        for (name, of_vae), of_generator in zip(ours.items(), theirs, strict=True):
            if of_vae != of_generator:
                raise ValueError(f"the VAE has {of_vae} {name}, the generator {of_generator}: it is of another VAE")
        if len(self.latents.mean) != vae.latent_channels:
            raise ValueError(
                f"the latent statistics have {len(self.latents.mean)} channels, the VAE {vae.latent_channels}: they are of "
                "another VAE"
            )
        if self.visibility is not None and self.visibility.channels != vae.latent_channels:
            raise ValueError(
                f"the visibility head takes {self.visibility.channels} channels, the VAE has {vae.latent_channels}: it is of "
                "another VAE"
            )


@dataclass(frozen=True)
class TrajloomNetworks:
    vae: TrajloomVAE
    generator: Generator
    visibility: VisibilityHead | None = None
    image_encoder: nn.Module | None = None  # see `is_kept`


def fingerprint(vae: TrajloomVAE) -> str:
    """Of all that decides the latents: the same in float32 and when the weights are kept in bfloat16."""
    digest = hashlib.sha256()
    for name, tensor in sorted(vae.state_dict().items()):
        if not name.startswith(("decoder_blocks.", "from_latents.", "expansion.", "final_linear.")):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().to(torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def is_trajloom(folder: Path) -> bool:
    return kind_of(folder) == TRAJLOOM


def save_trajloom(config: TrajloomConfig, networks: TrajloomNetworks, folder: Path) -> None:
    save_weights(networks.vae, folder / _VAE)
    save_weights(networks.generator, folder / _GENERATOR)
    if networks.visibility is not None:
        save_weights(networks.visibility, folder / _VISIBILITY)
    if is_kept(config.image_encoder):
        save_weights(networks.image_encoder, folder / _IMAGE_ENCODER)
    write_atomically(folder / CONFIG_FILE, (json.dumps(to_dict(config), indent=2) + "\n").encode())


def is_kept(image_encoder: ImageEncoderConfig | None) -> bool:
    """Whether an image encoder's weights are in the checkpoint; those of a frozen one are where its config says."""
    return image_encoder is not None and image_encoder.kind == "patch"


def load_trajloom(folder: Path) -> tuple[TrajloomConfig, TrajloomNetworks]:
    """Raises ValueError where config or weights are not those of a TrajLoom checkpoint, or not of one another."""
    path = folder / CONFIG_FILE
    try:
        config = from_dict(TrajloomConfig, json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    vae = _filled(TrajloomVAE(config.vae), folder / _VAE)
    if (found := fingerprint(vae)) != config.latents.vae:
        raise ValueError(
            f"{folder}: the generator's latent statistics are of another VAE than {_VAE} (encoder {config.latents.vae}, "
            f"here {found}); convert generator and VAE together"
        )
    generator = _filled(Generator(config.generator), folder / _GENERATOR)
    visibility = None
    if config.visibility is not None:
        visibility = _filled(VisibilityHead(config.visibility), folder / _VISIBILITY)
    image_encoder = None
    if is_kept(config.image_encoder):
        image_encoder = _filled(build_image_encoder(config.image_encoder), folder / _IMAGE_ENCODER)
    return config, TrajloomNetworks(vae, generator, visibility, image_encoder)


def _filled(module: nn.Module, path: Path) -> nn.Module:
    load_weights(module, path)
    return module
