"""The last motion going on, as the track VAE's latents: a model with history corrects it rather than inventing all anew.

Beside the past itself (history_encoder.py), from which the same could be learned, but only for scenes like those learned
from: how a cell's motion looks as a latent is the VAE's knowledge, which holds in every scene.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trajforecast_model.networks.history_encoder import PastTracks
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.tracks.extrapolation import DECAY, steps_ahead

# Over two steps a tracker's errors count half, and an acceleration hardly yet.
BEST_AGE = 2


def with_last_motion(past: PastTracks, vae: TrackVAE, std: Tensor, image_tokens: Tensor) -> PastTracks:
    """The same past with `last_motion` filled.

    Args:
        std: [C], by which the denoiser's latents are divided.
        image_tokens: [N, M, D_image], for a VAE that looks at the image.
    """
    config = vae.config
    steps = torch.from_numpy(steps_ahead(config.num_frames, DECAY)).to(vae.anchors)
    seen = (past.visible > 0).any(dim=1, keepdim=True).to(vae.anchors)
    velocity = _filled(last_velocity(past), seen, config.patch_size)
    mean, _ = vae.encode(
        vae.anchors + steps.view(-1, 1, 1, 1) * velocity[:, None], image_tokens if config.image_conditioned else None
    )  # [N, T', L, C]
    latents = (mean[:, 1:].float() / std).unflatten(2, config.latent_grid).movedim(-1, 2)
    return past._replace(last_motion=latents * F.max_pool2d(seen, config.patch_size)[:, None])


def _filled(velocity: Tensor, seen: Tensor, patch_size: int) -> Tensor:
    """Where a point was never seen, the mean velocity of those seen around it: a tracker loses half of what moves.

    Left still, they would make of a cell's motion a slower one.
    """
    side = patch_size // 2 * 2 + 1

    def around(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, side, stride=1, padding=side // 2)

    share = around(seen)
    mean = torch.where(share > 0, around(velocity * seen) / share.clamp(min=1 / side**2), 0)
    return torch.where(seen > 0, velocity, mean)


def last_velocity(past: PastTracks) -> Tensor:
    """Normalised motion a step, float32 [N, 2, rows, columns]: zero where a point was never seen."""
    frames = past.visible.shape[1]
    velocity = torch.zeros_like(past.offsets[:, 0], dtype=torch.float32)
    ages = sorted(range(1, frames + 1), key=lambda age: (age != BEST_AGE, age))
    for age in reversed(ages):  # what is written last stays
        seen = past.visible[:, frames - age, None] > 0
        velocity = torch.where(seen, -past.offsets[:, frames - age].float() / age, velocity)
    return velocity
