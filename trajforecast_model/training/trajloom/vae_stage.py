"""Training of TrajLoom's track VAE (arXiv 2603.22606): tracks of as many frames as it has, cut anywhere out of a window."""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAE
from trajforecast_model.tracks.grid import denormalise
from trajforecast_model.training.batches import Batch, collate, spread_evenly
from trajforecast_model.training.distributed import World
from trajforecast_model.training.noise import WindowNoise
from trajforecast_model.training.trajloom.configs import TrajloomVAETrainConfig
from trajforecast_model.training.trajloom.track_losses import (
    kl_to_normal,
    masked_huber,
    spatial_consistency,
    temporal_consistency,
)
from trajforecast_model.training.trajloom.trained_vae import WEIGHTS_FILE, TrainedVAE, save_trained_vae
from trajforecast_model.training.trajloom.windows import Tracks, check_fits, moving_cells, whole_tracks, windows_of
from trajforecast_model.trajloom.checkpoint import LatentStatistics, fingerprint

_AT_ONCE = 16  # windows


class TrajloomVAEStage:
    image_encoder = None
    latent_space = None  # its own VAE is being trained
    reads_instructions = False
    reads_history = True  # where the data has one

    def __init__(self, config: TrajloomVAETrainConfig):
        self.config = config
        self.validation = windows_of(config.data.folder, "val")
        check_fits(config.vae, self.validation.info, config.data.folder, with_past=False)
        torch.manual_seed(config.optimisation.seed)
        self.model = TrajloomVAE(config.vae)

    @property
    def frozen_networks(self) -> dict[str, nn.Module]:
        return {}

    def mean_weight(self, batch: Batch) -> Tensor:
        return torch.ones((), device=batch.images.device)  # every window is a mean over its own points

    def loss(
        self, model: TrajloomVAE, batch: Batch, noise: WindowNoise, mean_weight: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        draws = torch.special.ndtr(noise.normal(3))
        place = draws[:, 1:] if config.points == "any" else None
        tracks = _cut(whole_tracks(batch, config.vae, place), config.vae.num_frames, draws[:, 0])
        moving = moving_cells(batch, config.vae, place)[:, None]
        weight = tracks.seen * (1 + (config.moving_weight - 1) * moving)
        mean, std = model.encode(tracks.positions)
        decoded = model.decode(mean + std * noise.normal(*mean.shape[1:]))
        terms = {
            "reconstruction": (1.0, masked_huber(decoded, tracks.positions, weight, config.huber_delta)),
            "kl": (config.kl_weight, kl_to_normal(mean, std)),
        }
        if config.temporal_weight:
            terms["temporal"] = (config.temporal_weight, temporal_consistency(decoded, tracks.positions, weight))
        if config.spatial_weight:
            terms["spatial"] = (config.spatial_weight, spatial_consistency(decoded, tracks.positions, weight))
        loss = sum(factor * value for factor, value in terms.values())
        return loss, {name: value.detach() for name, (_, value) in terms.items()}

    def compile(self, model: TrajloomVAE) -> None:
        model.encode = torch.compile(model.encode)
        model.decode = torch.compile(model.decode)

    @torch.no_grad()
    def validate(self, model: TrajloomVAE, world: World, windows: int | None = None) -> dict[str, float]:
        """Squared reconstruction error, px^2 summed over x and y, of visible points and of those that move.

        Beside that of tracks which stay where they are in their first frame.
        """
        size = self.config.vae.image_size
        sums = {name: [0.0, 0] for name in ("visible_points_px2", "moving_points_px2", "nothing_moves_px2")}
        chosen = spread_evenly(len(self.validation), windows or self.config.logging.validation_windows)
        for batch in _batches(self.validation, chosen[world.rank :: world.size], world.device):
            moving = moving_cells(batch, self.config.vae)[:, None]
            for part in self._ends(batch):
                mean, _ = model.encode(part.positions)
                truth = denormalise(part.positions.movedim(2, -1), size)
                decoded = denormalise(model.decode(mean).movedim(2, -1), size)
                error, still = ((decoded - truth) ** 2).sum(-1), ((truth[:, :1] - truth) ** 2).sum(-1)
                for name, values, of in (
                    ("visible_points_px2", error, part.seen),
                    ("moving_points_px2", error, part.seen & moving),
                    ("nothing_moves_px2", still, part.seen & moving),
                ):
                    sums[name][0] += values[of].double().sum().item()
                    sums[name][1] += int(of.sum())
        return world.means({name: (total, count) for name, (total, count) in sums.items()})

    def score(self, figures: dict[str, float]) -> float:
        return figures.get("moving_points_px2", math.inf)

    def exported(self, model: TrajloomVAE) -> dict[str, nn.Module]:
        return {WEIGHTS_FILE: model}

    def export(self, model: TrajloomVAE, folder: Path) -> None:
        trained = TrainedVAE(
            self.config.vae, self._latent_statistics(model), self.validation.info.dt, self.config.points
        )
        save_trained_vae(trained, model, folder)

    @torch.no_grad()
    def _latent_statistics(self, model: TrajloomVAE) -> LatentStatistics:
        """Of each channel, over the means of windows spread evenly over the training split."""
        training, device = windows_of(self.config.data.folder, "train"), model.final_linear.weight.device
        chosen = spread_evenly(len(training), self.config.statistics_windows)
        channels = self.config.vae.latent_channels
        count, total, squares = 0, torch.zeros(channels).double(), torch.zeros(channels).double()
        for batch in _batches(training, chosen, device):
            for part in self._ends(batch):
                latents = model.encode(part.positions)[0].flatten(0, 2).double().cpu()
                count += len(latents)
                total += latents.sum(0)
                squares += (latents**2).sum(0)
        mean = total / count
        std = (squares / count - mean**2).clamp(min=0).sqrt().clamp(min=1e-6)
        return LatentStatistics(tuple(mean.tolist()), tuple(std.tolist()), fingerprint(model))

    def _ends(self, batch: Batch) -> tuple[Tracks, Tracks]:
        """The first and the last frames of a window: its past and its future, where it is as long as both."""
        whole, frames = whole_tracks(batch, self.config.vae), self.config.vae.num_frames
        return whole.frames(0, frames), whole.frames(whole.seen.shape[1] - frames, frames)


def _cut(whole: Tracks, frames: int, place: Tensor) -> Tracks:
    """So many frames of each window, from `place` [B], 0 for the first that there are to 1 for the last."""
    starts = whole.seen.shape[1] - frames + 1
    first = (place * starts).long().clamp(max=starts - 1)
    index = first[:, None] + torch.arange(frames, device=place.device)  # [B, frames]
    window = torch.arange(len(index), device=place.device)[:, None]
    return Tracks(whole.positions[window, index], whole.seen[window, index])


def _batches(dataset: ShardDataset, indices: list[int], device: torch.device) -> Iterator[Batch]:
    for start in range(0, len(indices), _AT_ONCE):
        yield collate([dataset[index] for index in indices[start : start + _AT_ONCE]]).to(device)
