"""A small forecaster of the real networks with random weights, for tests that need one to run and not to be right."""

from pathlib import Path

import torch
from torch import nn

from trajforecast_model.checkpoint import ForecastConfig, save_config, save_weights
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.history_encoder import HistoryConfig
from trajforecast_model.networks.image_encoder import ImageEncoderConfig, build_image_encoder
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig


def tiny_config(text: bool = True, history_frames: int = 0) -> ForecastConfig:
    vae = TrackVAEConfig(
        patch_size=16, temporal_stride=5, dim=64, depth=2, heads=1, latent_channels=4, image_grid=(8, 8), image_dim=64,
        image_conditioned=False, fourier_features=False, offset_scale=8.0,
    )  # fmt: skip
    return ForecastConfig(
        vae=vae,
        denoiser=DenoiserConfig(
            num_frames=vae.latent_frames,
            grid=vae.latent_grid,
            channels=4,
            dim=64,
            depth=2,
            heads=1,
            image_grid=(8, 8),
            image_dim=64,
            text_dim=384 if text else None,
            aligned_image=True,
            history=HistoryConfig(frames=history_frames, depth=1) if history_frames else None,
        ),
        image_encoder=ImageEncoderConfig(kind="patch", source=None, patch_size=16, dim=64, depth=1, heads=1),
        text_encoder=TextEncoderConfig(source="minilm", pooling="mean", dim=384) if text else None,
        latent_std=(1.0,) * 4,
        steps=2,
        anchor_first_frame=True,
    )


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fills every weight, the zero-initialised gates too, so that every part of the network matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return module


def write_tiny_checkpoint(folder: Path, text: bool = True, history_frames: int = 0) -> None:
    config = tiny_config(text, history_frames)
    save_weights(randomise(TrackVAE(config.vae)), folder / "vae.safetensors")
    save_weights(randomise(Denoiser(config.denoiser)), folder / "denoiser.safetensors")
    save_weights(randomise(build_image_encoder(config.image_encoder)), folder / "image_encoder.safetensors")
    save_config(config, folder)
