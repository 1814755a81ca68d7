"""Demos as ATM's preprocessing leaves them: `<suite>/<task>_demo/demo_<i>.hdf5`, one demo a file.

A file holds `root/{agentview,eye_in_hand}/video` uint8 [1, T, 3, H, W], upright, at 20 Hz; frame j is obs[j] of the
released file. Its `tracks` are some 1,100 scattered points queried at random frames, which are no grid of any window's
first frame, and its `task_emb_bert` is a vector without words: neither is read. The words come from the task's name.
Source: ATM (Wen et al., arXiv 2401.00025), scripts/preprocess_libero.py of its repository.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.interface import Outline, SourceOptions, cameras_of, digest_of
from trajforecast_model.data.sources.libero_hdf5 import FPS, opened
from trajforecast_model.data.sources.names import instruction_in, natural
from trajforecast_model.data.sources.orientation import upright

VIEW_GROUPS = {"side": "agentview", "effector": "eye_in_hand"}
# ATM's splits hold links to the files beside them; a copy may have the links' targets only.
_SPLIT_FOLDERS = ("train", "val", "bc_train")


@dataclass(frozen=True)
class AtmTask:
    """The demos of a task, in a folder of one HDF5 file each."""

    place: Path
    files: dict[str, Path]
    orientation: str = "upright"
    groups: dict[str, str] = field(default_factory=lambda: dict(VIEW_GROUPS))  # by view, of root
    kind: str = "ATM HDF5"
    fps: float = FPS
    replayable: bool = False

    @property
    def task(self) -> str:
        return self.place.name.removesuffix("_demo")

    def names(self) -> list[str]:
        return list(self.files)

    def outline(self, name: str) -> Outline:
        with self._root(name) as root:
            return Outline(self._first_video(root).shape[1], self.fps)

    def read(self, name: str) -> Demo:
        with self._root(name) as root:
            stored = {view: root[group]["video"][:] for view, group in self.groups.items()}
            length = self._first_video(root).shape[1]
        for view, video in stored.items():
            if video.dtype != np.uint8 or video.ndim != 5 or video.shape[:3] != (1, length, 3) or length < 2:
                raise ValueError(
                    f"{self.files[name]}: root/{self.groups[view]}/video is {video.dtype} {video.shape}, expected uint8 "
                    f"(1, frames, 3, height, width), 2 frames or more, as many as the other view"
                )
        return Demo(
            task=self.task,
            name=name,
            instruction=instruction_in(self.task),
            num_frames=length,
            fps=self.fps,
            images={
                view: dict(enumerate(upright(video[0].transpose(0, 2, 3, 1), self.orientation)))
                for view, video in stored.items()
            },
        )

    def fingerprint(self, name: str) -> str:
        """From the length and the last image."""
        with self._root(name) as root:
            video = self._first_video(root)
            return digest_of(video.shape, np.asarray(video[0, -1]).tobytes())

    def _first_video(self, root: h5py.Group) -> h5py.Dataset:
        return root[next(iter(self.groups.values()))]["video"]

    @contextmanager
    def _root(self, name: str) -> Iterator[h5py.Group]:
        file = self.files[name]
        with opened(file) as hdf5:
            try:
                yield hdf5["root"]
            except (KeyError, IndexError) as error:
                raise ValueError(f"{file} lacks what ATM's files hold: {error}") from error
            except (OSError, RuntimeError, TypeError) as error:
                raise ValueError(f"{file} is damaged: {error}") from error


def atm_tasks(files: list[Path], options: SourceOptions) -> list[AtmTask]:
    """The tasks whose demos `files` are, one a folder."""
    by_folder: dict[Path, dict[str, Path]] = {}
    for file in sorted(files, key=lambda file: natural(file.name)):
        folder = file.parent.parent if file.parent.name.startswith(_SPLIT_FOLDERS) else file.parent
        by_folder.setdefault(folder, {}).setdefault(file.stem, file)
    orientation, groups = options.orientation or "upright", cameras_of(options, VIEW_GROUPS)
    return [AtmTask(folder, found, orientation, groups, fps=options.fps or FPS) for folder, found in by_folder.items()]
