"""From past tracks to sampled futures, as tensors: the VAE's latents, the flow's solver over the generator, the decoder.

A name's letters after the underscore are its shape: B pasts, K samples of each, T latent steps, N cells, C channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from trajforecast_model.flow.noise import sample_noise
from trajforecast_model.flow.solvers import integrate
from trajforecast_model.networks.trajloom.frames import seen_in_latent_steps, to_frames
from trajforecast_model.runtime.compilation import compiled
from trajforecast_model.runtime.device import placed
from trajforecast_model.trajloom.checkpoint import TrajloomConfig, TrajloomNetworks

ENDS = 1e-5  # flow times are kept that far from 0 and 1


def anchored_source(noise: Tensor, history: Tensor, deviation: float) -> Tensor:
    """Noise [..., T, N, C] whose first latent step lies about the last one of the past, `history` [..., T, N, C]."""
    first = history[..., -1:, :, :] + deviation * noise[..., :1, :, :]
    return torch.cat([first, noise[..., 1:, :, :]], dim=-3)


class TrajloomSampler:
    def __init__(self, config: TrajloomConfig, networks: TrajloomNetworks, device: torch.device, dtype: torch.dtype):
        self.config = config
        self.device = device
        self.dtype = dtype
        self.vae = placed(networks.vae, device, dtype)
        self.generator = placed(networks.generator, device, dtype)
        self.visibility_head = None if networks.visibility is None else placed(networks.visibility, device, dtype)
        self.mean = torch.tensor(config.latents.mean, device=device)  # [C]
        self.std = torch.tensor(config.latents.std, device=device)  # [C]
        self.before_step: Callable[[], None] | None = None  # see `LoadedModel.before_step`

    @torch.inference_mode()
    def encode_history(self, tracks: Tensor) -> Tensor:
        """Normalised tracks [B, frames, 2, rows, columns] to normalised latents [B, T, N, C], by their mean."""
        mean, _ = self.vae.encode(tracks.to(self.device))
        return (mean.float() - self.mean) / self.std

    def noise(self, history: Tensor, k: int, seeds: list[int], streams: list[str]) -> Tensor:
        """Where the flow starts, [B, K, T, N, C]: the first latent step near the last one of the past, if it is anchored.

        Args:
            history: [B, T, N, C] normalised latents of the past.
            seeds, streams: of each past, see `sample_noise`.
        """
        shape = tuple(history.shape[1:])
        noise_BKTNC = torch.stack([sample_noise(*of_past, k, shape) for of_past in zip(seeds, streams, strict=True)])
        if self.config.anchor_noise is None:
            return noise_BKTNC
        return anchored_source(noise_BKTNC, history.cpu().unsqueeze(1), self.config.anchor_noise)

    @torch.inference_mode()
    def sample_latents_with_history(
        self,
        history: Tensor,
        noise: Tensor,
        visibility: Tensor | None = None,
        video: Tensor | None = None,
        text: Tensor | None = None,
        steps: int | None = None,
        solver: str | None = None,
        image: Tensor | None = None,
    ) -> Tensor:
        """Integrates the flow.

        Args:
            history: [B, T, N, C] normalised latents of the past.
            noise: [B, T, N, C], or [B, K, T, N, C] for K samples of each past, the start as it is: see `noise`.
            visibility: [B, T, N] of the latent steps, or [B, frames, N] of the frames.
            video, text, image: see `Generator.history_context`.
            steps: network evaluations (default: the checkpoint's).

        Returns:
            normalised latents of the future, float32, as `noise`.
        """
        if visibility is not None and visibility.shape[1] == self.config.vae.num_frames:
            visibility = seen_in_latent_steps(visibility, self.config.vae.temporal_stride)
        history, visibility, video, text, image = (
            None if x is None else x.to(self.device, self.dtype) for x in (history, visibility, video, text, image)
        )
        context = self.generator.history_context(history, visibility, video, text, image=image)

        def velocity(z_BKTNC: Tensor, t: Tensor) -> Tensor:
            if self.before_step is not None:
                self.before_step()
            t_B1 = t.clamp(ENDS, 1 - ENDS).expand(len(z_BKTNC), 1)
            return self.generator.velocity(z_BKTNC.to(self.dtype), t_B1, context).float()

        noise_BKTNC = noise.float().to(self.device)
        if is_single := noise.ndim == 4:
            noise_BKTNC = noise_BKTNC.unsqueeze(1)
        latents = integrate(velocity, noise_BKTNC, steps or self.config.steps, solver or self.config.solver)
        return latents[:, 0] if is_single else latents

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [B, K, T, N, C] to normalised tracks, float32 [B, K, frames, 2, rows, columns]."""
        unscaled_BKTNC = (latents * self.std + self.mean).to(self.dtype)
        return torch.stack([self.vae.decode(samples) for samples in unscaled_BKTNC])

    @torch.inference_mode()
    def visible(self, latents: Tensor) -> Tensor | None:
        """Probability that each track is visible, float32 [B, K, frames, N]; None without a visibility head."""
        if self.visibility_head is None:
            return None
        logits = self.visibility_head(latents.flatten(0, 1).to(self.dtype)).float()
        frames = to_frames(logits.sigmoid(), self.config.vae.temporal_stride, self.config.vae.num_frames)
        return frames.unflatten(0, latents.shape[:2])

    def compile(self, mode: str = "default", backend: str | Callable = "inductor") -> None:
        """See `LoadedModel.compile`."""
        self.generator.velocity = compiled(self.generator.velocity, mode, backend)
        self.vae.decode = compiled(self.vae.decode, mode, backend)
