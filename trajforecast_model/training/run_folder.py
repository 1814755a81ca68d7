"""What a run leaves on disk. Whatever has its final name is whole, so a run may be killed at any moment.

checkpoints/step_00001000/   the last few: `export` for use, `state.pt` to go on from
checkpoints/best_00000500/   the best by validation, for use
checkpoint, checkpoint_best  links to the newest export and to the best
config.json, tensorboard/
"""

import errno
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from trajforecast_model.files.atomic import new_folder, temporary_beside, write_atomically

_STATE, _EXPORT = "state.pt", "export"

Export = Callable[[Path], None]  # writes a checkpoint for use into a folder


class RunFolder:
    def __init__(self, path: Path, keep: int):
        """Raises ValueError where `path` holds something else than a run. `keep`: checkpoints, one or more."""
        self.path, self._keep, self._checkpoints = path, keep, path / "checkpoints"
        if (path / "checkpoint").is_dir() and not (path / "checkpoint").is_symlink():
            raise ValueError(f"{path} holds a run of an older version: choose another `out`, or delete that folder")
        if any(path.glob("*.safetensors")):
            raise ValueError(f"{path} is a checkpoint, and a run would write over it: choose another `out`")

    def load(self) -> dict | None:
        """The state of the newest checkpoint, or None in a new run. Raises ValueError where it is damaged."""
        steps = self._folders("step")
        if not steps:
            return None
        try:
            return torch.load(steps[-1] / _STATE, weights_only=True, map_location="cpu")
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
            OSError: where the disk is full; the checkpoints before are whole.
        """

        def write(folder: Path) -> None:
            export(folder / _EXPORT)
            with open(folder / _STATE, "wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())

        folder = self._write(f"step_{state['step']:08d}", write)
        self._link("checkpoint", folder / _EXPORT)
        for old in self._folders("step")[: -self._keep]:
            _remove(old)

    def save_best(self, step: int, export: Export) -> None:
        """Replaces the best checkpoint. Raises OSError where the disk is full; the one before is whole."""
        folder = self._write(f"best_{step:08d}", export)
        self._link("checkpoint_best", folder)
        for old in self._folders("best"):
            if old != folder:
                _remove(old)

    def _folders(self, kind: str) -> list[Path]:
        return sorted(self._checkpoints.glob(f"{kind}_*"))

    def _write(self, name: str, write: Export) -> Path:
        folder = self._checkpoints / name
        if folder.exists():  # written by this very step, before the run was killed
            return folder
        with self._disk_full_explained(name), new_folder(folder) as unfinished:
            write(unfinished)
        return folder

    def _link(self, name: str, target: Path) -> None:
        temporary = temporary_beside(self.path / name)
        temporary.symlink_to(target.relative_to(self.path))
        temporary.replace(self.path / name)

    @contextmanager
    def _disk_full_explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            steps = self._folders("step")
            left = f"{steps[-1]} is whole" if steps else "there is none before it"
            raise OSError(
                f"the disk is full: {self._checkpoints / name} could not be written; {left}. Free some space and start "
                "the same command again"
            ) from error


def _remove(folder: Path) -> None:
    # Under another name first: a folder that is half deleted must not be taken for a checkpoint.
    doomed = temporary_beside(folder)
    folder.rename(doomed)
    shutil.rmtree(doomed)
