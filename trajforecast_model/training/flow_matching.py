"""The denoiser's training objective: rectified flow on latents of the frozen track VAE, or on tracks (WHN section 3.3)."""

import torch
from torch import Tensor

from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.flow.path import flow_loss, interpolate, logit_normal_timesteps
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.tracks.grid import normalise
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.pixel_space import PixelSpace


class FlowSpace:
    """Where the flow runs: the VAE's latents scaled to unit deviation, or normalised tracks where there is no VAE."""

    def __init__(self, config: ForecastConfig, vae: TrackVAE | None):
        self._config, self._vae = config, vae

    @torch.no_grad()
    def sample(self, tracks: Tensor, tokens: Tensor, noise: WindowNoise) -> Tensor:
        """float32 [B, T, C, h, w] of tracks [B, T, H, W, 2] in pixels, drawn from the VAE's posterior."""
        tracks = normalise(tracks, self._config.image_size).movedim(-1, 2)  # [B, T, 2, H, W]
        if self._vae is None:
            return tracks
        mean, std = self._vae.to(tracks.device).encode(tracks, tokens)
        return self._scaled(mean + std * noise.normal(*mean.shape[1:]))

    @torch.no_grad()
    def first_frame(self, tracks: Tensor, tokens: Tensor) -> Tensor:
        """The known first frame, float32 [B, 1, C, h, w]."""
        if self._vae is None:
            return normalise(tracks[:, :1], self._config.image_size).movedim(-1, 2)
        static, _ = self._vae.to(tokens.device).encode_static(len(tokens), tokens)
        return self._scaled(static[:, :1])

    def _scaled(self, latents: Tensor) -> Tensor:
        """[B, T, h * w, C] of the VAE -> [B, T, C, h, w]"""
        std_of_channel = torch.tensor(self._config.latent_std, device=latents.device)
        return (latents.float() / std_of_channel).unflatten(2, self._vae.config.latent_grid).movedim(-1, 2)


def flow_matching_loss(
    denoiser: Denoiser,
    space: FlowSpace | PixelSpace,
    futures: Tensor,
    tokens: Tensor,
    text: Tensor | None,
    noise: WindowNoise,
    *,
    draws: int = 1,
    pure_noise_draws: int = 0,
    weight: Tensor | None = None,
) -> Tensor:
    """Squared error of the velocity at `draws` noises and flow times a window, which share what depends on its image.

    Args:
        futures: what the space is of: tracks [B, T, H, W, 2] in pixels, or frames uint8 [B, T, h, w, 3].
        tokens, text: [B, M, D_image], [B, E]
        pure_noise_draws: of the draws, those at flow time 0.
        weight: [B, 1, 1, h, w]; None weighs everything alike.
    """
    windows = len(futures)
    data, first = space.sample(futures, tokens, noise), space.first_frame(futures, tokens)
    start = noise.normal(draws, *data.shape[1:]).flatten(0, 1)
    t = logit_normal_timesteps(noise.normal(draws).flatten())
    t.view(windows, draws)[:, :pure_noise_draws] = 0.0
    data, first = (x.repeat_interleave(draws, dim=0) for x in (data, first))
    x = interpolate(start, data, first, t).unflatten(0, (windows, draws))
    velocity = denoiser.velocity(x, t.view(windows, draws), denoiser.image_context(tokens, text)).flatten(0, 1)
    return flow_loss(velocity, start, data, None if weight is None else weight.repeat_interleave(draws, dim=0))
