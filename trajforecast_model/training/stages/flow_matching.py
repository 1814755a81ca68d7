"""The denoiser's training objective: rectified flow on latents of the frozen track VAE, or on tracks (WHN section 3.3)."""

import torch
from torch import Tensor

from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.flow.path import flow_loss, interpolate, logit_normal_timesteps
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.history_encoder import PastTracks
from trajforecast_model.networks.last_motion import with_last_motion
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.tracks.grid import normalise
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.pixel_space import PixelSpace


class TrackSpace:
    """Where the flow runs without a VAE: normalised tracks."""

    def __init__(self, config: ForecastConfig):
        self._image_size = config.image_size

    def sample(self, batch: Batch, tokens: Tensor, noise: WindowNoise) -> Tensor:
        """float32 [B, T, 2, H, W]; nothing about tracks is drawn."""
        return normalise(batch.tracks, self._image_size).movedim(-1, 2)

    def first_frame(self, batch: Batch, tokens: Tensor) -> Tensor:
        """The known first frame, float32 [B, 1, 2, H, W]."""
        return normalise(batch.tracks[:, :1], self._image_size).movedim(-1, 2)


class LatentSpace:
    """Where the flow runs with a VAE: its latents scaled to unit deviation."""

    def __init__(self, vae: TrackVAE, std: tuple[float, ...]):
        """std: of each channel, over the training set."""
        self.vae, self.std, self._image_size = vae, std, vae.config.image_size
        self._std_of_channel = torch.tensor(std)

    @torch.no_grad()
    def posterior(self, batch: Batch, tokens: Tensor | None) -> Tensor:
        """Mean and standard deviation of the scaled latents, float32 [B, 2, T, C, h, w].

        Frame 0 is the known one, whose deviation is zero: what the VAE makes of it when nothing moves.
        """
        tracks = normalise(batch.tracks, self._image_size).movedim(-1, 2)  # [B, T, 2, H, W]
        self._go_to(tracks.device)
        posterior = torch.stack(self.vae.encode(tracks, tokens), dim=1)  # [B, 2, T, L, C]
        posterior = self._scaled(posterior)
        posterior[:, 0, :1] = self._static_frame(len(tracks), tokens)
        posterior[:, 1, :1] = 0
        return posterior

    @torch.no_grad()
    def sample(self, batch: Batch, tokens: Tensor, noise: WindowNoise) -> Tensor:
        """float32 [B, T, C, h, w], drawn from the posterior, frame 0 the known one."""
        kept = batch.latents
        mean, std = (self.posterior(batch, tokens) if kept is None else kept.float()).unbind(1)
        return mean + std * noise.normal(*mean.shape[1:])

    @torch.no_grad()
    def first_frame(self, batch: Batch, tokens: Tensor) -> Tensor:
        """The known first frame, float32 [B, 1, C, h, w]."""
        if batch.latents is not None:
            return batch.latents[:, 0, :1].float()
        self._go_to(tokens.device)
        return self._static_frame(len(tokens), tokens)

    @torch.no_grad()
    def with_last_motion(self, past: PastTracks, tokens: Tensor) -> PastTracks:
        """The same past with its `last_motion`."""
        self._go_to(tokens.device)
        return with_last_motion(past, self.vae, self._std_of_channel, tokens)

    def _go_to(self, device: torch.device) -> None:
        # Once: what is there already would be copied anew, for which a GPU waits and which a CUDA graph cannot record.
        if self.vae.anchors.device != device:
            self.vae.to(device)
        self._std_of_channel = self._std_of_channel.to(device)

    def _static_frame(self, batch: int, tokens: Tensor | None) -> Tensor:
        of_image = self.vae.config.image_conditioned  # else it is the same in every image
        static, _ = self.vae.encode_static(batch if of_image else 1, tokens)
        return self._scaled(static[:, :1]).expand(batch, -1, -1, -1, -1)

    def _scaled(self, latents: Tensor) -> Tensor:
        """[..., h * w, C] of the VAE -> [..., C, h, w]"""
        return (latents.float() / self._std_of_channel).unflatten(-2, self.vae.config.latent_grid).movedim(-1, -3)


FlowSpace = TrackSpace | LatentSpace | PixelSpace


def flow_matching_loss(
    denoiser: Denoiser,
    space: FlowSpace,
    batch: Batch,
    tokens: Tensor,
    text: Tensor | None,
    noise: WindowNoise,
    *,
    history: PastTracks | None = None,
    draws: int = 1,
    pure_noise_draws: int = 0,
    weight: Tensor | None = None,
) -> Tensor:
    """Squared error of the velocity at `draws` noises and flow times a window, which share what depends on its image.

    Args:
        tokens, text: [B, M, D_image], [B, E]
        history: of a denoiser that takes one.
        pure_noise_draws: of the draws, those at flow time 0.
        weight: [B, 1, 1, h, w]; None weighs everything alike.
    """
    windows = len(tokens)
    data = space.sample(batch, tokens, noise)
    start = noise.normal(draws, *data.shape[1:]).flatten(0, 1)
    t = logit_normal_timesteps(noise.normal(draws).flatten())
    t.view(windows, draws)[:, :pure_noise_draws] = 0.0
    data = data.repeat_interleave(draws, dim=0)
    x = interpolate(start, data, data[:, :1], t).unflatten(0, (windows, draws))
    velocity = denoiser.velocity(x, t.view(windows, draws), denoiser.image_context(tokens, text, history)).flatten(0, 1)
    return flow_loss(velocity, start, data, None if weight is None else weight.repeat_interleave(draws, dim=0))
