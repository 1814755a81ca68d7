"""Forecasters of the paper's sizes with weights that nobody trained: as fast as trained ones.

They start from image tokens and a text embedding, since the frozen encoders are not ours and can be cached.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trajforecast_model.benchmarks.formula_weights import formula_weights
from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.conversion.whn_keys import denoiser_weights, vae_weights
from trajforecast_model.conversion.whn_releases import LIBERO_LATENT_STD
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.image_encoder import ImageEncoderConfig
from trajforecast_model.networks.text_encoder import TextEncoderConfig
from trajforecast_model.networks.track_vae import TrackVAE, TrackVAEConfig
from trajforecast_model.tracks.grid import denormalise

SIZES = {
    "S": dict(dim=192, depth=8, heads=3),
    "B": dict(dim=384, depth=12, heads=6),
    "L": dict(dim=768, depth=16, heads=12),
}


class Request(NamedTuple):
    """What a forecast starts from."""

    image_tokens: Tensor  # [V, M, D]
    text: Tensor | None  # [V, E]
    noise: Tensor  # [V, k, T - 1, C, h, w]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Request":
        text = None if self.text is None else self.text.to(device, dtype)
        return Request(self.image_tokens.to(device, dtype), text, self.noise.to(device))


def libero_config(
    size: str, depth: int | None = None, num_frames: int = 16, grid: tuple[int, int] = (64, 64)
) -> ForecastConfig:
    """The paper's LIBERO model of a size; `depth` blocks of each network instead of its own, to try something quickly."""
    if size not in SIZES:
        raise ValueError(f"size: got {size!r}, expected one of {', '.join(SIZES)}")
    vae = TrackVAEConfig(num_frames=num_frames, grid=grid, image_size=(2 * grid[0], 2 * grid[1]), depth=depth or 12)
    denoiser = SIZES[size] | ({} if depth is None else {"depth": depth})
    return ForecastConfig(
        denoiser=DenoiserConfig(num_frames=num_frames, grid=vae.latent_grid, **denoiser),
        vae=vae,
        image_encoder=ImageEncoderConfig(),
        text_encoder=TextEncoderConfig(),
        latent_std=LIBERO_LATENT_STD,
        image_size=vae.image_size,
        grid=grid,
        num_frames=num_frames,
    )


def official_formula_weights(official: torch.nn.Module) -> dict[str, Tensor]:
    return formula_weights({key: tuple(value.shape) for key, value in official.state_dict().items()})


def forecaster_of_official(
    config: ForecastConfig, denoiser: dict[str, Tensor], vae: dict[str, Tensor], device: str, dtype: str
) -> Forecaster:
    """Ours under official weights."""
    ours = Denoiser(config.denoiser), TrackVAE(config.vae)
    ours[0].load_state_dict(denoiser_weights(denoiser))
    ours[1].load_state_dict(vae_weights(vae))
    return Forecaster(config, *ours, model_id="official weights", device=device, dtype=dtype)


def untrained_forecaster(config: ForecastConfig, device: str, dtype: str) -> Forecaster:
    torch.manual_seed(0)
    with torch.device(device):
        denoiser, vae = Denoiser(config.denoiser), None if config.vae is None else TrackVAE(config.vae)
    return Forecaster(config, denoiser, vae, model_id="untrained", device=device, dtype=dtype)


def request_for(config: ForecastConfig, views: int, k: int, seed: int = 0) -> Request:
    generator = torch.Generator().manual_seed(seed)
    denoiser = config.denoiser
    tokens = denoiser.image_grid[0] * denoiser.image_grid[1]
    shape = (views, k, denoiser.num_frames - 1, denoiser.channels, *denoiser.grid)
    return Request(
        torch.randn(views, tokens, denoiser.image_dim, generator=generator),
        None if denoiser.text_dim is None else torch.randn(views, denoiser.text_dim, generator=generator),
        torch.randn(*shape, generator=generator),
    )


def forecast(forecaster: Forecaster, request: Request, steps: int | None) -> np.ndarray:
    """Tracks [V, k, T, H, W, 2] in pixels, in this machine's main memory."""
    request = request.to(forecaster.device, forecaster.dtype)
    latents = forecaster.sample_latents(request.image_tokens, request.text, request.noise, steps)
    tracks = forecaster.decode_latents(latents, request.image_tokens)
    return denormalise(tracks.movedim(3, -1), forecaster.config.image_size).cpu().numpy()
