"""From image tokens to sampled tracks: noise, the flow's solver over the denoiser, the track VAE's decoder, pixels.

A name's letters after the underscore are its shape: B images, K samples of each, T frames (U: those that are not known),
C channels of h x w latent cells, L = h * w, HW grid of points. Docstrings have M image tokens of D channels and E channels
of a text embedding beside.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.flow.noise import sample_noise
from trajforecast_model.flow.solvers import integrate
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.networks.history_encoder import PastTracks
from trajforecast_model.networks.last_motion import with_last_motion
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.networks.visibility_head import VisibilityHead
from trajforecast_model.runtime.compilation import compiled
from trajforecast_model.runtime.device import placed
from trajforecast_model.tracks.grid import normalise, query_points


class Sampler:
    """The denoiser and, unless it works on tracks themselves, the track VAE."""

    def __init__(
        self,
        config: ForecastConfig,
        denoiser: Denoiser,
        vae: TrackVAE | None,
        device: torch.device,
        dtype: torch.dtype,
        visibility_head: VisibilityHead | None = None,
    ):
        self.config = config
        self.device = device
        self.dtype = dtype
        self.denoiser = placed(denoiser, device, dtype)
        self.vae = None if vae is None else placed(vae, device, dtype)
        self.visibility_head = None if visibility_head is None else placed(visibility_head, device, dtype)
        self.latent_std = torch.tensor(config.latent_std, device=device)  # [C]
        self.temperature = config.temperature
        self._first_frame: Tensor | None = None  # of a VAE that does not look at the image
        self.before_step: Callable[[], None] | None = None  # see `Forecaster.before_step`

    def noise(self, k: int, seeds: list[int], streams: list[str]) -> Tensor:
        """[B, k, T - 1, C, h, w], of each image's seed and stream; on the CPU, so that every device has the same.

        Its standard deviation is the temperature.
        """
        shape = (self.config.denoiser.num_frames - 1, self.config.denoiser.channels, *self.config.denoiser.grid)
        noise = [sample_noise(seed, stream, k, shape) for seed, stream in zip(seeds, streams, strict=True)]
        return self.temperature * torch.stack(noise)

    def known_frame(self, images: list[np.ndarray], image_tokens: Tensor) -> Tensor:
        """What is known of the present before anything is sampled, [B, 1, C, h, w]."""
        return self.first_frame(image_tokens)

    @torch.inference_mode()
    def first_frame(self, image_tokens: Tensor) -> Tensor:
        """Slot 0 of the scaled latent of tracks that never move, [B, 1, C, h, w] float32."""
        batch = len(image_tokens)
        if self.vae is None:
            points = torch.from_numpy(query_points(self.config.grid, self.config.image_size)).to(self.device)
            first = normalise(points, self.config.image_size).movedim(-1, 0).expand(batch, 1, -1, -1, -1)
            return first / self.latent_std.view(-1, 1, 1)
        if self.vae.config.image_conditioned:
            return self._encode_first_frame(image_tokens)
        if self._first_frame is None:  # the same in every image
            self._first_frame = self._encode_first_frame(image_tokens[:1])
        return self._first_frame.expand(batch, -1, -1, -1, -1)

    def _encode_first_frame(self, image_tokens: Tensor) -> Tensor:
        mean, _ = self.vae.encode_static(len(image_tokens), image_tokens)
        return self._scaled(mean[:, :1])

    def _scaled(self, mean_BTLC: Tensor) -> Tensor:
        """What the VAE tells, as the flow has it: [B, T, C, h, w] float32."""
        return (mean_BTLC.float() / self.latent_std).unflatten(2, self.config.denoiser.grid).movedim(-1, 2)

    @torch.inference_mode()
    def sample_latents(
        self,
        image_tokens: Tensor,
        text_embedding: Tensor | None,
        noise: Tensor,
        steps: int | None = None,
        solver: str | None = None,
        first: Tensor | None = None,
        past: PastTracks | None = None,
    ) -> Tensor:
        """Integrates the flow for k samples of each image.

        Args:
            image_tokens: [B, M, D]
            text_embedding: [B, E], or None.
            noise: [B, k, T - 1, C, h, w], the start of every unknown latent frame.
            first: [B, 1, C, h, w], the known first frame (default: `first_frame` of the tokens).
            past: of B images, for a model with history; None where nothing is known of it.

        Returns:
            [B, k, T, C, h, w] scaled latents (tracks without a VAE), the clean first frame in slot 0.
        """
        known = {} if past is None else {"history": self._history(past, image_tokens)}
        context = self.denoiser.image_context(image_tokens, text_embedding, **known)
        first_B1Chw = self.first_frame(image_tokens) if first is None else first
        first_BK1Chw = first_B1Chw.unsqueeze(1).expand(-1, noise.shape[1], -1, -1, -1, -1)

        def velocity(x_BKUChw: Tensor, t: Tensor) -> Tensor:
            if self.before_step is not None:
                self.before_step()
            x_BKTChw = torch.cat([first_BK1Chw, x_BKUChw], dim=2).to(self.dtype)
            t_B1 = t.expand(len(x_BKTChw), 1)
            return self.denoiser.velocity(x_BKTChw, t_B1, context)[:, :, 1:].float()

        steps, solver = steps or self.config.steps, solver or self.config.solver
        unknown_BKUChw = integrate(velocity, noise.to(self.device), steps, solver)
        return torch.cat([first_BK1Chw, unknown_BKUChw], dim=2)

    def _history(self, past: PastTracks, image_tokens: Tensor) -> PastTracks:
        past = PastTracks(past.offsets.to(self.device), past.visible.to(self.device))
        if not self.config.denoiser.history.last_motion:
            return past
        return with_last_motion(past, self.vae, self.latent_std, image_tokens)

    @torch.inference_mode()
    def decode_latents(self, latents: Tensor, image_tokens: Tensor) -> Tensor:
        """Scaled latents [B, k, T, C, h, w] to normalised tracks, float32 [B, k, T, 2, H, W]."""
        unscaled_BKTChw = latents * self.latent_std.view(-1, 1, 1)
        if self.vae is None:
            return unscaled_BKTChw.float()
        tokens_BTLC = unscaled_BKTChw.flatten(0, 1).flatten(3).transpose(2, 3).to(self.dtype)  # B * K of them
        return self.vae.decode(tokens_BTLC, image_tokens).unflatten(0, (len(latents), -1))

    @torch.inference_mode()
    def visibility(self, latents: Tensor, image_tokens: Tensor) -> Tensor | None:
        """How likely each point is seen, float32 [B, k, T, H, W], of scaled latents; None for a model that cannot tell."""
        return None if self.visibility_head is None else self.visibility_head(latents, image_tokens).sigmoid()

    def compile(self, mode: str = "default", backend: str | Callable = "inductor") -> None:
        """See `Forecaster.compile`."""
        self.denoiser.velocity = compiled(self.denoiser.velocity, mode, backend)
        if self.vae is not None:
            self.vae.decode = compiled(self.vae.decode, mode, backend)


@torch.inference_mode()
def to_pixels(normalised: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Normalised tracks [B, k, T, 2, H, W] to pixels [B, k, T, H, W, 2] of images of (height, width), in their own memory.

    As `denormalise` does, in one pass over what is the largest array of a forecast, and without a second one.
    """
    pixels = normalised.movedim(3, -1)
    for samples, (height, width) in zip(pixels, sizes, strict=True):
        middle = samples.new_empty(samples.shape[2:])  # of the image, for every point: broadcasting over two is slow
        middle[..., 0], middle[..., 1] = width / 2, height / 2
        torch.addcmul(middle, samples, middle, out=samples)
    return pixels.contiguous()
