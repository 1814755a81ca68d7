"""A checkpoint of TrajLoom with small random networks."""

from pathlib import Path

import torch

from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.trajloom.generator import Generator, GeneratorConfig
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE, TrajloomVAEConfig
from trajforecast_model.networks.trajloom.visibility import VisibilityHead, VisibilityHeadConfig
from trajforecast_model.trajloom.checkpoint import (
    LatentStatistics,
    TrajloomConfig,
    TrajloomNetworks,
    fingerprint,
    save_trajloom,
)

MINILM = TextEncoderConfig(source="minilm", pooling="mean", dim=384)


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return module


def write_trajloom(
    folder: Path,
    *,
    frames: int = 9,
    size: tuple[int, int] = (48, 80),
    patch: int = 16,
    visibility: bool = True,
    text: TextEncoderConfig | None = MINILM,
    **settings,
) -> Path:
    """Of `frames` past frames, the present one included, and pictures of `size` in cells of `patch` pixels.

    Args:
        settings: see `TrajloomConfig`.
    """
    torch.manual_seed(0)
    vae_config = TrajloomVAEConfig(
        num_frames=frames, image_size=size, patch_size=patch, dim=32, depth=2, heads=2, latent_channels=4,
        position_frequencies=4,
    )  # fmt: skip
    rows, columns = vae_config.cells.shape
    generator_config = GeneratorConfig(
        num_frames=frames, cells=rows * columns, channels=4, video_channels=3,
        text_dim=None if text is None else text.dim, dim=32, depth=2, heads=2,
    )  # fmt: skip
    head_config = VisibilityHeadConfig(channels=4, dim=8) if visibility else None
    vae = randomised(TrajloomVAE(vae_config))
    config = TrajloomConfig(
        vae=vae_config,
        generator=generator_config,
        latents=LatentStatistics((0.1,) * 4, (0.5,) * 4, fingerprint(vae)),
        visibility=head_config,
        text_encoder=text,
        **{"steps": 2} | settings,
    )
    head = randomised(VisibilityHead(head_config)) if visibility else None
    folder.mkdir(exist_ok=True)
    save_trajloom(config, TrajloomNetworks(vae, randomised(Generator(generator_config)), head), folder)
    return folder
