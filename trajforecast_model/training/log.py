"""What a run tells while it trains: a progress bar and TensorBoard, both of the first rank."""

import contextlib
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from trajforecast_model.files.disk import check_room
from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.distributed import World

_LEAST_ROOM = 2**16  # bytes; what is logged at a time is far less


class TrainingLog:
    def __init__(self, folder: Path, step: int, optimisation: OptimisationConfig, world: World):
        self._world, self._batch_size, self._folder = world, optimisation.batch_size, folder
        self._writer = SummaryWriter(str(folder), purge_step=step + 1) if world.is_first else None
        self._progress = tqdm(
            initial=step, total=optimisation.steps, unit="step", dynamic_ncols=True, disable=not world.is_first
        )
        self._restart_clock()

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, error_type, *_) -> None:
        self._progress.close()
        if self._writer is not None:
            # After an error, say on a full disk, that error is the one to report.
            with contextlib.suppress(OSError) if error_type else contextlib.nullcontext():
                self._writer.close()

    def note(self, text: str) -> None:
        if self._world.is_first:
            self._progress.write(text)

    def count_step(self) -> None:
        self._progress.update()
        self._steps += 1

    def training(self, step: int, totals: dict[str, Tensor], gradient_norm: Tensor) -> None:
        """Called on every rank with its own totals: what is logged is their mean."""
        means = self._world.sum(torch.stack(list(totals.values())).float() / self._world.size).tolist()
        figures = dict(zip(totals, means, strict=True)) | {
            "gradient_norm": gradient_norm.item(),
            "samples_per_second": self._steps * self._batch_size / (time.perf_counter() - self._start),
        }
        self._restart_clock()
        self._write("train", figures, step)
        self._progress.set_postfix_str(f"loss {figures['loss']:.4f}, {figures['samples_per_second']:.0f} samples/s")

    def validation(self, step: int, figures: dict[str, float]) -> None:
        self._restart_clock()
        self._write("val", figures, step)
        self.note(f"step {step}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def _write(self, group: str, figures: dict[str, float], step: int) -> None:
        if self._writer is not None:
            # Its thread prints a traceback of its own where the disk is full.
            check_room(self._folder, _LEAST_ROOM, str(self._folder))
            for name, value in figures.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def _restart_clock(self) -> None:
        self._start, self._steps = time.perf_counter(), 0
