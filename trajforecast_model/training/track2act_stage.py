"""Training of Track2Act's network (arXiv 2405.01527): denoising diffusion over the tracks of a fixed grid of points."""

from pathlib import Path

import torch
from torch import Tensor

from trajforecast_model.baselines.checkpoint import BaselineConfig, save_baseline
from trajforecast_model.baselines.ddpm import LEVELS, add_noise
from trajforecast_model.baselines.track_diffusion import TrackDiffusion
from trajforecast_model.baselines.track_transformer import signed_pixels
from trajforecast_model.config import to_dict
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.evaluation.baseline_forecasters import TrackDiffusionForecaster, check_grid, fixed_points
from trajforecast_model.networks.text_encoder import BertTextEncoder
from trajforecast_model.tracks.grid import normalise
from trajforecast_model.training.atm_stage import check_baseline_fits
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.configs import Track2ActTrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.point_validation import best_error, validate_points


class Track2ActStage:
    def __init__(self, config: Track2ActTrainConfig):
        self.config = config
        self.validation = ShardDataset(config.data.folder, "val")
        check_baseline_fits(config, self.validation.info)
        check_grid(config.network.grid, self.validation.info.grid)
        self.text_encoder = BertTextEncoder(config.text_encoder)
        torch.manual_seed(config.optimisation.seed)
        self.model = TrackDiffusion(config.network)

    def mean_weight(self, batch: Batch) -> Tensor:
        return torch.ones((), device=batch.tracks.device)  # every point counts the same

    def loss(
        self, model: TrackDiffusion, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        tracks = fixed_points(normalise(batch.tracks, self.config.network.image_size), self.config.network.grid)
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
        model.compile()

    def validate(self, model: TrackDiffusion, world: World) -> dict[str, float]:
        forecaster = TrackDiffusionForecaster(self._baseline_config(), model, self.text_encoder, device=world.device)
        return validate_points(forecaster, self.validation, self.config.logging, world)

    def score(self, figures: dict[str, float]) -> float:
        return best_error(figures)

    def export(self, model: TrackDiffusion, folder: Path) -> None:
        save_baseline(self._baseline_config(), model, folder)

    def _baseline_config(self) -> BaselineConfig:
        info = self.validation.info
        return BaselineConfig(
            baseline="track2act",
            network=to_dict(self.config.network),
            text_encoder=self.config.text_encoder,
            dt=info.dt,
            views=tuple(info.views),
        )
