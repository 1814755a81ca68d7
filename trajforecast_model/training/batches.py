"""Batches of prepared windows in an order that depends on seed and position alone, so that a run resumes exactly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from trajforecast_model.data.shards import ShardDataset, Window


@dataclass(frozen=True)
class Batch:
    images: Tensor  # uint8 [B, H, W, 3]
    tracks: Tensor  # float32 [B, T, H, W, 2], pixels
    instructions: list[str]

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            self.images.to(device, non_blocking=True), self.tracks.to(device, non_blocking=True), self.instructions
        )


def collate(windows: list[Window]) -> Batch:
    return Batch(
        images=torch.from_numpy(np.stack([window.image for window in windows])),
        tracks=torch.from_numpy(np.stack([window.tracks for window in windows])),
        instructions=[window.instruction for window in windows],
    )


class EndlessBatchSampler(Sampler[list[int]]):
    """Batches of indices, a new permutation each epoch; batch n of a seed is always the same one."""

    def __init__(self, size: int, batch_size: int, seed: int, start: int = 0):
        if size < batch_size:
            raise ValueError(
                f"the training split has {size} windows, fewer than one batch of {batch_size}; prepare more data "
                "or lower optimisation.batch_size"
            )
        self.size, self.batch_size, self.seed, self.start = size, batch_size, seed, start

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = self.size // self.batch_size
        epoch, position = divmod(self.start, per_epoch)
        while True:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
            for batch in range(position, per_epoch):
                yield order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()
            epoch, position = epoch + 1, 0


def training_batches(dataset: ShardDataset, batch_size: int, seed: int, start: int, workers: int) -> DataLoader:
    """Endless batches, beginning with batch number `start`."""
    return DataLoader(
        dataset,
        batch_sampler=EndlessBatchSampler(len(dataset), batch_size, seed, start),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )


def spread_evenly(size: int, count: int) -> list[int]:
    """`count` indices spread evenly over range(size), or all of them."""
    return sorted({int(i) for i in np.linspace(0, size - 1, min(size, count))})
