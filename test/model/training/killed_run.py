"""Runs `trajforecast` and ends it by a signal: killed_run.py MOMENT COUNT [arguments of trajforecast]

The process sends it to itself when a moment comes for the COUNT-th time, so that a test does not depend on timing.
"""

import os
import signal
import sys

import pyarrow as pa
import torch
from torch.utils.data import get_worker_info

from trajforecast_model import checkpoint
from trajforecast_model.cli import main
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.training import run_folder
from trajforecast_model.training.stages.vae import VAEStage
from trajforecast_model.training.state import TrainingState


def kill_at(
    owner, name: str, count: int, process=os.getpid, last_act=lambda *arguments: None, number=signal.SIGKILL
) -> None:
    original, calls = getattr(owner, name), [0]

    def counted(*arguments, **keywords):
        calls[0] += 1
        if calls[0] == count:
            last_act(*arguments)
            os.kill(process(), number)
        return original(*arguments, **keywords)

    setattr(owner, name, counted)


def bug_at_step(number: int) -> None:
    ordinary = TrainingState.update

    def update(self, rate: float) -> None:
        if self.step == number - 1:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        ordinary(self, rate)

    TrainingState.update = update


def in_a_loader_process(count: int, victim) -> None:
    """Windows are read by the run itself, too, which is not counted."""

    original, calls = ShardDataset.__getitem__, [0]

    def counted(*arguments):
        calls[0] += get_worker_info() is not None
        if calls[0] == count:
            os.kill(victim(), signal.SIGKILL)
        return original(*arguments)

    ShardDataset.__getitem__ = counted


def half_a_file(state, file) -> None:
    file.write(b"half a state")
    file.flush()


MOMENTS = {
    "step": lambda count: kill_at(TrainingState, "update", count),
    "write state": lambda count: kill_at(torch, "save", count, last_act=half_a_file),
    "write export": lambda count: kill_at(checkpoint, "write_atomically", count),
    "link": lambda count: kill_at(run_folder.RunFolder, "_link", count),
    "prune": lambda count: kill_at(run_folder.shutil, "rmtree", count),
    "write features": lambda count: kill_at(pa, "record_batch", count),  # a row of a file of the feature cache
    "load": lambda count: in_a_loader_process(count, os.getppid),  # the run itself
    "loader": lambda count: in_a_loader_process(count, os.getpid),  # that process
    "bug": bug_at_step,
    "bug of the second rank": lambda count: os.environ["RANK"] == "1" and bug_at_step(count),
    "second rank": lambda count: os.environ["RANK"] == "1" and kill_at(TrainingState, "update", count),
    # Once: torchrun may start the ranks again. The first rank is in its backward pass then, which waits for the second's.
    "second rank in its loss": lambda count: (
        (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) == ("1", "0")
        and kill_at(VAEStage, "loss", count)
    ),
    "second rank is asked to stop": lambda count: (
        os.environ["RANK"] == "1" and kill_at(TrainingState, "update", count, number=signal.SIGTERM)
    ),
}

if __name__ == "__main__":
    moment, count, *arguments = sys.argv[1:]
    MOMENTS[moment](int(count))
    sys.exit(main(arguments))
