"""Prepared windows as TrajLoom's networks take them: one point a cell, in TrajLoom's coordinates, past and future apart."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from trajforecast_model.data.labelers.kinds import STORED
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.networks.trajloom.frames import seen_in_latent_steps
from trajforecast_model.networks.trajloom.track_vae import TrajloomVAEConfig
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.training.batches import Batch
from trajforecast_model.trajloom.past import normalised, point_in_cell


class Tracks(NamedTuple):
    """Of one point a cell."""

    positions: Tensor  # float32 [B, T, 2, rows, columns], normalised
    seen: Tensor  # bool [B, T, rows, columns]

    def frames(self, start: int, count: int) -> "Tracks":
        return Tracks(self.positions[:, start : start + count], self.seen[:, start : start + count])

    def seen_in_steps(self, vae: TrajloomVAEConfig) -> Tensor:
        """bool [B, T', rows * columns]"""
        return seen_in_latent_steps(self.seen.flatten(2), vae.temporal_stride)


def windows_of(folder: str, split: Literal["train", "val"]) -> ShardDataset:
    """Of either anchor."""
    return ShardDataset(folder, split, history_pictures=False, anchors=("first", "present"))


def check_fits(vae: TrajloomVAEConfig, info: DatasetInfo, folder: str, with_past: bool) -> None:
    """Raises ValueError where the data is of another shape than the VAE's, or reaches less far.

    Args:
        with_past: whether both a past and a future of the VAE's length are needed, not just as many frames.
    """
    if tuple(vae.image_size) != tuple(info.image_size):
        raise ValueError(
            f"vae.image_size is {vae.image_size}, the data's is {info.image_size}; choose the config made for this data, or "
            "change vae.image_size"
        )
    if any(points % cells for points, cells in zip(info.grid, vae.cells.shape, strict=True)):
        raise ValueError(
            f"the data has {info.grid[0]} x {info.grid[1]} points, the VAE {vae.cells.shape[0]} x {vae.cells.shape[1]} "
            f"cells (vae.image_size over vae.patch_size {vae.patch_size}), which do not divide them; prepare the data with "
            f"--grid {vae.cells.shape[0]}x{vae.cells.shape[1]}, or change vae.patch_size"
        )
    frames = vae.num_frames
    if with_past and (info.history_frames < frames - 1 or info.num_frames < frames + 1):
        raise ValueError(
            f"the VAE is of {frames} frames, and {folder} has {info.history_frames} before the present one and "
            f"{info.num_frames} from it on; prepare it with --history {frames - 1} --frames {frames + 1} at least"
        )
    if with_past and info.anchor == "first" and info.history_frames != frames - 1:
        raise ValueError(
            f"the points of {folder} are on the grid {info.history_frames} frames before the present one, those of a past of "
            f"{frames} frames are so {frames - 1} before; prepare it with --history {frames - 1}, or --anchor present"
        )
    if info.history_frames + info.num_frames < frames:
        raise ValueError(
            f"vae.num_frames is {frames}, the windows of {folder} have {info.history_frames + info.num_frames} frames; "
            "prepare longer ones, or change vae.num_frames"
        )


def query_offset(vae: TrajloomVAEConfig, info: DatasetInfo) -> tuple[float, float]:
    """Where in a cell the data's first point is, (x, y) pixels from its top-left pixel.

    Stored tracks begin in that pixel itself, wherever the grid says.
    """
    if info.labeler == STORED:
        return (0.0, 0.0)
    return point_in_cell(query_points(info.grid, info.image_size)[0, 0], info.image_size, vae.image_size)


def whole_tracks(batch: Batch, vae: TrajloomVAEConfig, place: Tensor | None = None) -> Tracks:
    """Past, present and future of one point a cell.

    Args:
        place: which of a cell's points in each window, [B, 2] from 0 to 1 as (row, column); None for the top-left one.
    """
    positions, seen = batch.tracks, batch.visibility
    if batch.history_tracks is not None:
        positions = torch.cat([batch.history_tracks, positions], dim=1)
        seen = torch.cat([batch.history_visibility, seen], dim=1)
    positions = normalised(positions, tuple(batch.images.shape[1:3]), vae.image_size).movedim(-1, 2)
    return Tracks(of_cells(positions, vae, place), of_cells(seen, vae, place))


def of_cells(values: Tensor, vae: TrajloomVAEConfig, place: Tensor | None = None) -> Tensor:
    """One of a cell's points: [B, ..., H, W] -> [B, ..., rows, columns]. See `whole_tracks`."""
    rows, columns = vae.cells.shape
    apart = (
        values.unflatten(-1, (columns, -1)).unflatten(-3, (rows, -1)).transpose(-3, -2)
    )  # [..., rows, columns, p, q]
    p, q = apart.shape[-2:]
    if place is None:
        return apart[..., 0, 0]
    chosen = (place[:, 0] * p).long().clamp(max=p - 1) * q + (place[:, 1] * q).long().clamp(max=q - 1)  # [B]
    index = chosen.view(-1, *(1,) * (apart.dim() - 2)).expand(*apart.shape[:-2], 1)
    return apart.flatten(-2).gather(-1, index).squeeze(-1)


def past_and_future(batch: Batch, vae: TrajloomVAEConfig, place: Tensor | None = None) -> tuple[Tracks, Tracks]:
    """The frames up to the present one, and as many after it."""
    whole, frames = whole_tracks(batch, vae, place), vae.num_frames
    after = batch.history_tracks.shape[1] + 1
    return whole.frames(after - frames, frames), whole.frames(after, frames)


def moving_cells(batch: Batch, vae: TrajloomVAEConfig, place: Tensor | None = None) -> Tensor:
    """bool [B, rows, columns]: the protocol's filter, of a cell's point."""
    return of_cells(batch.moving_points(), vae, place)
