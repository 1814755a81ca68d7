"""What a run leaves on disk. Whatever has its final name is whole, so a run may be killed at any moment.

checkpoints/step_00001000/   the last few: `export` for use, `state.pt` to go on from
checkpoints/best_00000500/   the best by validation, for use
checkpoint, checkpoint_best  links to the newest export and to the best
config.json, tensorboard/, .lock (who writes here)
"""

import json
import math
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch

from trajforecast_model.files.atomic import new_folder, temporary_beside, write_atomically
from trajforecast_model.files.disk import DiskFull, check_room, is_full
from trajforecast_model.files.json_files import read_object
from trajforecast_model.files.outputs import ready_folder
from trajforecast_model.files.owner import owning

_STATE, _EXPORT, _VALIDATION = "state.pt", "export", "validation.json"

_SIGNS_OF_TORCH = ("inline_container", "PytorchStreamWriter")  # of torch.save when a write failed

Export = Callable[[Path], None]  # writes a checkpoint for use into a folder


class RunFolder:
    def __init__(self, path: Path, keep: int):
        """Raises ValueError where `path` holds something else than a run. `keep`: checkpoints, one or more."""
        self.path, self._keep, self._checkpoints = path, keep, path / "checkpoints"
        self._sizes = {"step": 0, "best": 0}  # bytes of a checkpoint, as far as they are known
        if (path / "checkpoint").is_dir() and not (path / "checkpoint").is_symlink():
            raise ValueError(f"{path} holds a run of an older version: choose another `out`, or delete that folder")
        if any(path.glob("*.safetensors")):
            raise ValueError(f"{path} is a checkpoint, and a run would write over it: choose another `out`")

    @contextmanager
    def owned(self) -> Iterator[None]:
        """No other run may write here meanwhile. Raises ValueError where one does, or where nothing can be written."""
        ready_folder("out", self.path)
        with owning(self.path):
            yield

    def check_room(self, state: int, export: int, checkpoints: int) -> None:
        """Raises WriteFailed where the checkpoints of the run do not fit beside those that are there.

        Args:
            state, export: bytes of each in a checkpoint.
            checkpoints: how many the run writes in all.
        """
        self._sizes = {"step": state + export, "best": export}
        at_most = min(self._keep + 1, checkpoints) * self._sizes["step"] + 2 * export
        there = sum(file.lstat().st_size for file in self._checkpoints.rglob("*") if file.is_file())
        self._look_for_room(at_most - there, f"{self.path} with its checkpoints (logging.keep: {self._keep})")

    def load(self) -> dict | None:
        """The state of the newest checkpoint, or None in a new run. Raises ValueError where it is damaged."""
        steps = self._folders("step")
        if not steps:
            return None
        try:
            state = torch.load(steps[-1] / _STATE, weights_only=True, map_location="cpu")
            if (validation := steps[-1] / _VALIDATION).exists():
                state |= read_object(validation, "delete it, and the same command validates once more")
            return state
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            before = f"continues from {steps[-2].name}" if len(steps) > 1 else "starts anew"
            raise ValueError(
                f"{steps[-1] / _STATE} is damaged and cannot be read; delete {steps[-1]} and the same command {before}"
            ) from error

    def begin(self, config: dict) -> None:
        """Writes the config down, and finishes what a killed run left half done."""
        write_atomically(self.path / "config.json", (json.dumps(config, indent=2) + "\n").encode())
        for leftover in (*self.path.glob(".*.tmp"), *self._checkpoints.glob(".*.tmp")):
            shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
        if steps := self._folders("step"):
            self._link("checkpoint", steps[-1] / _EXPORT)
        else:  # a run that was killed before its first checkpoint may have been another
            (self.path / "checkpoint_best").unlink(missing_ok=True)
            for best in self._folders("best"):
                _remove(best)

    def save(self, state: dict, export: Export) -> None:
        """Adds the checkpoint of `state["step"]`; older ones go only when it is whole.

        Raises:
            WriteFailed: where the disk is full, or fails; the checkpoints before are whole.
        """

        def write(folder: Path) -> None:
            export(folder / _EXPORT)
            _write_state(state, folder / _STATE)

        folder = self._write(self._folder(state["step"]).name, write)
        self._link("checkpoint", folder / _EXPORT)
        for old in self._folders("step")[: -self._keep]:
            _remove(old)

    def save_best(self, step: int, export: Export) -> None:
        """Replaces the best checkpoint. Raises WriteFailed; the one before is whole."""
        folder = self._write(f"best_{step:08d}", export)
        self._link("checkpoint_best", folder)
        for old in self._folders("best"):
            if old != folder:
                _remove(old)

    def note_validation(self, step: int, best_score: float) -> None:
        """Beside the checkpoint of that step, if there is one: it was written before the validation."""
        if (folder := self._folder(step)).exists():
            noted = {"validated": step} | ({"best_score": best_score} if math.isfinite(best_score) else {})
            write_atomically(folder / _VALIDATION, json.dumps(noted).encode())

    @contextmanager
    def full_disk_explained(self) -> Iterator[None]:
        """For all else that a run writes, such as TensorBoard's files."""
        try:
            yield
        except OSError as error:
            if isinstance(error, WriteFailed) or not is_full(error):
                raise
            raise self._failed(_reason(error, self.path)) from error

    def _look_for_room(self, needed: int, what: str) -> None:
        try:
            check_room(self.path, needed, what)
        except DiskFull as error:
            raise self._failed(error.args[0]) from error

    def _failed(self, reason: str) -> "WriteFailed":
        steps = self._folders("step")
        left = f"{steps[-1]} is whole" if steps else "there is no checkpoint before it"
        return WriteFailed(f"{reason}; {left}. Free some space and start the same command again")

    def _folder(self, step: int) -> Path:
        return self._checkpoints / f"step_{step:08d}"

    def _folders(self, kind: str) -> list[Path]:
        return sorted(self._checkpoints.glob(f"{kind}_*"))

    def _write(self, name: str, write: Export) -> Path:
        folder = self._checkpoints / name
        if folder.exists():  # written by this very step, before the run was killed
            return folder
        self._look_for_room(self._sizes[name.partition("_")[0]], str(folder))
        try:
            with new_folder(folder) as unfinished:
                write(unfinished)
        except (OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in _SIGNS_OF_TORCH):
                raise
            raise self._failed(_reason(error, folder)) from error
        return folder

    def _link(self, name: str, target: Path) -> None:
        temporary = temporary_beside(self.path / name)
        temporary.symlink_to(target.relative_to(self.path))
        temporary.replace(self.path / name)


def _reason(error: Exception, what: Path) -> str:
    if isinstance(error, OSError) and not is_full(error):
        return f"{what} could not be written ({(error.strerror or str(error)).lower()})"
    return f"the disk is full: {what} could not be written"


class WriteFailed(OSError):
    """Says what could not be written, and which checkpoint is whole."""


class _StateFile:
    """Remembers why a write failed: torch.save raises a RuntimeError of its own, which does not tell."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.error: OSError | None = None
        self.flush = file.flush

    def write(self, data) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise


def _write_state(state: dict, path: Path) -> None:
    with open(path, "wb") as file:
        remembering = _StateFile(file)
        try:
            torch.save(state, remembering)
        except RuntimeError as error:
            raise remembering.error or error from error
        file.flush()
        os.fsync(file.fileno())


def _remove(folder: Path) -> None:
    # Under another name first: a folder that is half deleted must not be taken for a checkpoint.
    doomed = temporary_beside(folder)
    folder.rename(doomed)
    shutil.rmtree(doomed)
