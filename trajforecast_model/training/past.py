"""The past as training shows it: with what a robot will often lack of it left out, and as inexact as a tracker's.

A forecast has to be good in the first moment after start-up too, when there is no past, and where points were lost.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.networks.history_encoder import HistoryConfig, PastTracks
from trajforecast_model.tracks.grid import normalise, query_points
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.noise import WindowNoise


@dataclass(frozen=True)
class PastConfig:
    """What a denoiser sees of the past, and how it is made worse in training."""

    frames: int  # before the present one; the data has at least as many
    pooling: int = 2  # points a side whose visible ones are averaged
    depth: int = 1  # blocks of the history encoder
    last_motion: bool = False  # also show the last motion going on, as the VAE's latents
    without: float = 0.2  # share of windows that show no past at all
    shortened: float = 0.3  # share of windows that show a past of fewer frames, all numbers alike
    lost_points: float = 0.3  # largest share of a window's points that are lost, each from some frame back
    noise: float = 0.002  # standard deviation of positions; 2 is the image's side
    swapped: float = 0.0  # share of windows shown with the picture and instruction of another, so that the past counts

    def __post_init__(self):
        if self.frames < 1:
            raise ValueError(f"history.frames: got {self.frames}, expected at least 1; set history to null for none")
        for name in ("without", "shortened", "lost_points", "swapped"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"history.{name}: got {getattr(self, name)}, expected a share from 0 to 1")
        if self.without + self.shortened > 1:
            raise ValueError(
                f"history.without {self.without} and history.shortened {self.shortened} are shares of the same windows; "
                "their sum is at most 1"
            )

    def network(self, info: DatasetInfo) -> HistoryConfig:
        return HistoryConfig(
            frames=self.frames,
            grid=tuple(info.grid),
            pooling=self.pooling,
            depth=self.depth,
            last_motion=self.last_motion,
        )


def check_past(config: PastConfig, info: DatasetInfo, folder: str) -> None:
    """Raises ValueError where the data does not reach so far back."""
    if info.history_frames < config.frames:
        raise ValueError(
            f"history.frames: got {config.frames}, but {folder} has {info.history_frames} past frames a window; prepare it "
            f"with --history {config.frames}, or set history to null"
        )


def past_of(batch: Batch, frames: int) -> PastTracks:
    """The newest `frames` of a batch's past, as the denoiser takes it."""
    tracks, visible = batch.history_tracks[:, -frames:], batch.history_visibility[:, -frames:]
    size = tuple(batch.images.shape[1:3])
    points = torch.from_numpy(query_points(tuple(tracks.shape[2:4]), size)).to(tracks.device)
    return PastTracks((normalise(tracks, size) - normalise(points, size)).movedim(-1, 2), visible)


def past_in_training(batch: Batch, config: PastConfig, noise: WindowNoise) -> PastTracks:
    """A batch's past, made worse."""
    return worsened(past_of(batch, config.frames), config, noise)


def worsened(past: PastTracks, config: PastConfig, noise: WindowNoise) -> PastTracks:
    """With frames and points left out, and noise on the rest."""
    frames, *grid = past.visible.shape[1:]
    age = torch.arange(frames, 0, -1, device=past.visible.device)  # of each frame, 1 is the newest
    draws = _uniform(noise.normal(2))
    kind, length = draws[:, 0], draws[:, 1]
    shown = torch.where(kind < config.without + config.shortened, (length * (frames + 1)).floor(), frames)
    shown = torch.where(kind < config.without, 0, shown)
    points = _uniform(noise.normal(2, *grid))
    share = _uniform(noise.normal(1))[:, :, None] * config.lost_points
    lost_at = torch.where(
        points[:, 0] < share, (points[:, 1] * frames).floor() + 1, frames + 1
    )  # the age from which on
    there = (age <= shown[:, None])[:, :, None, None] & (age[:, None, None] < lost_at[:, None])
    offsets = past.offsets
    if config.noise:
        offsets = offsets + config.noise * noise.normal(frames, 2, *grid)
    return PastTracks(offsets, past.visible & there)


def swapped(given: Tensor | None, config: PastConfig, draw: Tensor) -> Tensor | None:
    """What is known of the present [B, ...], in some windows that of the window before it in the batch.

    Where picture and past do not go together, only the past is right: as in scenes that the model does not know.

    Args:
        draw: [B, 1], standard normal; the same for all that is known of a window.
    """
    if given is None:
        return None
    which = (_uniform(draw) < config.swapped).view(-1, *(1,) * (given.dim() - 1))
    return torch.where(which, given.roll(1, dims=0), given)


def _uniform(normal: Tensor) -> Tensor:
    return torch.special.ndtr(normal).clamp(max=np.nextafter(np.float32(1), np.float32(0)))
