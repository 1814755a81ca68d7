"""Training of Track2Act's network (arXiv 2405.01527): denoising diffusion over the tracks of a fixed grid of points."""

import torch
from torch import Tensor

from trajforecast_model.baselines.ddpm import LEVELS, add_noise
from trajforecast_model.baselines.track_diffusion import TrackDiffusion
from trajforecast_model.evaluation.forecasters.baselines import check_grid, fixed_points
from trajforecast_model.networks.image_encoder import signed_pixels
from trajforecast_model.tracks.grid import normalise
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.configs import Track2ActTrainConfig
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.stages.baseline import BaselineStage


class Track2ActStage(BaselineStage):
    kind = "track2act"

    def __init__(self, config: Track2ActTrainConfig):
        super().__init__(config)
        check_grid(config.network.grid, self.validation.info.grid)

    def loss(
        self, model: TrackDiffusion, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        network = self.config.network
        tracks = model.diffused(fixed_points(normalise(batch.tracks, network.image_size), network.grid))
        added = noise.normal(*tracks.shape[1:])  # [B, T, P, 2]
        uniform = torch.special.ndtr(noise.normal())  # [B] in (0, 1)
        level = (uniform * LEVELS).long().clamp(max=LEVELS - 1)
        noisy = torch.cat([tracks[:, :1], add_noise(tracks, added, level)[:, 1:]], dim=1)
        text = self.text_encoder.to(tracks.device)(batch.instructions)
        condition = model.condition(signed_pixels(batch.images), text)
        seen = model(noisy, level, condition)
        return ((seen.float() - added)[:, 1:] ** 2).mean(), {}

    def compile(self, model: TrackDiffusion) -> None:
        model.resnet.compile()
        super().compile(model)
