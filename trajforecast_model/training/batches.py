"""Batches of prepared windows in an order that depends on seed and position alone, so that a run resumes exactly."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from trajforecast_model.data.shards import Window
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import PROTOCOL_IMAGE_SIZE, moving_points


@dataclass(frozen=True)
class Batch:
    images: Tensor  # uint8 [B, H, W, 3]
    tracks: Tensor | None  # float32 [B, T, H, W, 2], pixels; None where kept latents stand for them
    instructions: list[str]
    image_tokens: Tensor | None = None  # float16 [B, M, D], where a feature cache has them
    latents: Tensor | None = None  # float16 [B, 2, T', C, h, w], where a latent cache has them: mean and deviation
    moving: Tensor | None = None  # bool [B, H, W], beside kept latents
    frames: Tensor | None = None  # uint8 [B, T, h, w, 3], where the data holds them
    visibility: Tensor | None = None  # bool [B, T, H, W], beside tracks
    history_tracks: Tensor | None = None  # float32 [B, history_frames, H, W, 2], pixels, where the data has a past
    history_visibility: Tensor | None = None  # bool [B, history_frames, H, W]

    def to(self, device: torch.device) -> "Batch":
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Called by PyTorch's loader, which pins no tensors of classes that it does not know."""
        return self._with_tensors(Tensor.pin_memory)

    def moving_points(self) -> Tensor:
        """bool [B, H, W]: the protocol's filter."""
        if self.moving is not None:
            return self.moving
        return moving_points(rescale(self.tracks, self.images.shape[1:3], PROTOCOL_IMAGE_SIZE))

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return Batch(**{name: change(part) if isinstance(part, Tensor) else part for name, part in parts.items()})


def collate(windows: list[Window]) -> Batch:
    return Batch(
        images=_stacked([window.image for window in windows]),
        tracks=_stacked([window.tracks for window in windows]),
        instructions=[window.instruction for window in windows],
        image_tokens=_stacked([window.image_tokens for window in windows]),
        latents=_stacked([window.latents for window in windows]),
        moving=_stacked([window.moving for window in windows]),
        frames=_stacked([window.frames for window in windows]),
        visibility=_stacked([window.visibility for window in windows]),
        history_tracks=_stacked([window.history_tracks for window in windows]),
        history_visibility=_stacked([window.history_visibility for window in windows]),
    )


def _stacked(arrays: list[np.ndarray | None]) -> Tensor | None:
    """None where the windows do not have it."""
    return None if arrays[0] is None else torch.from_numpy(np.stack(arrays))


@dataclass(frozen=True)
class BatchShare:
    """The windows of every step's batch that one rank computes, in micro-batches of equal size."""

    batch_size: int  # windows a step, over all ranks
    accumulate: int = 1  # micro-batches a step, on each rank
    rank: int = 0
    ranks: int = 1

    def __post_init__(self):
        parts = self.ranks * self.accumulate
        if self.batch_size < 1 or self.accumulate < 1 or self.batch_size % parts:
            raise ValueError(
                f"optimisation.batch_size {self.batch_size} does not divide into {self.ranks} ranks x "
                f"{self.accumulate} micro-batches (optimisation.accumulate); make it a multiple of {parts}"
            )

    def check_enough(self, size: int) -> None:
        """Raises ValueError where so many windows do not fill one batch."""
        if size < self.batch_size:
            raise ValueError(
                f"the training split has {size} windows, fewer than one batch of {self.batch_size}; prepare more data "
                "or lower optimisation.batch_size"
            )

    @property
    def micro_batches(self) -> list[range]:
        """Positions in the step's batch, of each micro-batch."""
        size = self.batch_size // (self.ranks * self.accumulate)
        first = self.rank * self.accumulate
        return [range(part * size, (part + 1) * size) for part in range(first, first + self.accumulate)]


class EndlessBatchSampler(Sampler[list[int]]):
    """A rank's micro-batches of indices; a new permutation each epoch, and batch n of a seed is always the same one.

    Every rank shuffles alike and takes its own positions, so no rank runs out of windows before another. The windows
    that do not fill a batch at the end of an epoch are left out of that epoch.
    """

    def __init__(self, size: int, share: BatchShare, seed: int, start: int = 0):
        share.check_enough(size)
        self.size, self.share, self.seed, self.start = size, share, seed, start

    def __iter__(self) -> Iterator[list[int]]:
        batch_size = self.share.batch_size
        per_epoch = self.size // batch_size
        epoch, position = divmod(self.start, per_epoch)
        while True:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
            for batch in range(position, per_epoch):
                for part in self.share.micro_batches:
                    yield order[batch * batch_size + part.start : batch * batch_size + part.stop].tolist()
            epoch, position = epoch + 1, 0


def training_batches(dataset: Dataset, share: BatchShare, seed: int, start: int, workers: int) -> DataLoader:
    """Endless micro-batches of the windows of `dataset`, beginning with those of step `start`.

    A dataset of something else than windows has a `collate` of its own.
    """
    return DataLoader(
        dataset,
        batch_sampler=EndlessBatchSampler(len(dataset), share, seed, start),
        num_workers=workers,
        collate_fn=getattr(dataset, "collate", collate),
        worker_init_fn=_leave_signals_to_the_run,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )


@contextmanager
def loading(loader: DataLoader) -> Iterator[Iterator[Batch]]:
    """Its batches. Its processes are gone when the block ends, however that ends.

    Left to themselves they would keep the program from ending: they ignore the SIGTERM that Python then sends to them, and
    it waits until they obey.
    """
    others = multiprocessing.active_children()
    batches = None
    try:
        batches = iter(loader)
        yield batches
    finally:
        if loader.num_workers and batches is not None:
            # What PyTorch does once nothing refers to the batches; but a traceback may, for as long as the program lives.
            batches._shutdown_workers()
        for process in multiprocessing.active_children():
            if process not in others:
                process.kill()
                process.join()


def _leave_signals_to_the_run(worker: int) -> None:
    # Ctrl-C and a cluster's SIGTERM reach the whole group; a run whose loader is gone could not end its step and save.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def spread_evenly(size: int, count: int) -> list[int]:
    """`count` indices spread evenly over range(size), or all of them."""
    return sorted({int(i) for i in np.linspace(0, size - 1, min(size, count))})
