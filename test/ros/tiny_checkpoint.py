"""A real checkpoint with small random networks: what the node's tests forecast with."""

from pathlib import Path

import torch

from trajforecast_model.checkpoint import ForecastConfig, save_config, save_weights
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.image_encoder import ImageEncoderConfig, build_image_encoder
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig

FRAMES, GRID, IMAGE_SIZE = 16, (64, 64), (128, 128)


def write_tiny_checkpoint(
    folder: Path,
    frames: int = FRAMES,
    grid: tuple[int, int] = GRID,
    image_size: tuple[int, int] = IMAGE_SIZE,
    patch_size: int = 8,
) -> Path:
    """The paper's shapes outside (16 steps of 64x64 points) or others, next to nothing inside."""
    latent_grid = (grid[0] // patch_size, grid[1] // patch_size)
    image_grid, image_dim = (image_size[0] // 16, image_size[1] // 16), 32
    config = ForecastConfig(
        denoiser=DenoiserConfig(
            num_frames=frames,
            grid=latent_grid,
            channels=4,
            dim=48,
            depth=1,
            heads=2,
            image_grid=image_grid,
            image_dim=image_dim,
            text_dim=384,
        ),
        vae=TrackVAEConfig(
            num_frames=frames,
            grid=grid,
            image_size=image_size,
            patch_size=patch_size,
            dim=48,
            depth=1,
            heads=2,
            latent_channels=4,
            image_grid=image_grid,
            image_dim=image_dim,
        ),
        image_encoder=ImageEncoderConfig(
            kind="patch", source=None, input_size=image_size, patch_size=16, dim=image_dim, depth=1, heads=2
        ),
        text_encoder=TextEncoderConfig(source="minilm", pooling="mean", dim=384),
        latent_std=(1.0,) * 4,
        image_size=image_size,
        grid=grid,
        num_frames=frames,
        steps=1,
    )
    save_config(config, folder)
    torch.manual_seed(0)
    for name, network in (
        ("denoiser", Denoiser(config.denoiser)),
        ("vae", TrackVAE(config.vae)),
        ("image_encoder", build_image_encoder(config.image_encoder)),
    ):
        for weights in network.parameters():
            # Layers that start at zero would make a forecast that is the same for every image.
            torch.nn.init.normal_(weights, std=0.05)
        save_weights(network, folder / f"{name}.safetensors")
    return folder
