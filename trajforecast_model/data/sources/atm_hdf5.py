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
from trajforecast_model.data.sources.hdf5_demos import FPS, opened
from trajforecast_model.data.sources.interface import Outline, SourceOptions, cameras_of, digest_of
from trajforecast_model.data.sources.names import instruction_in, natural
from trajforecast_model.data.sources.orientation import GIVEN, upright

VIEW_GROUPS = {"side": "agentview", "effector": "eye_in_hand"}
# ATM's splits hold links to the files beside them; a copy may have the links' targets only.
_SPLIT_FOLDERS = ("train", "val", "bc_train")


@dataclass(frozen=True)
class AtmTask:
    """The demos of a task, in a folder of one HDF5 file each."""

    place: Path
    files: dict[str, Path]
    orientation: str = "upright"
    because: str = "as ATM stores them"
    groups: dict[str, str] = field(default_factory=lambda: dict(VIEW_GROUPS))  # by view, of root
    kind: str = "ATM HDF5"
    fps: float = FPS
    spoken: str = ""  # the words where the folder's name is none
    replayable: bool = False

    @property
    def task(self) -> str:
        return self.place.name.removesuffix("_demo")

    def names(self) -> list[str]:
        return list(self.files)

    def instruction(self, name: str) -> str:
        return instruction_in(self.task) or self.spoken

    def outline(self, name: str) -> Outline:
        with self._root(name) as root:
            return Outline(self._length(name, root), self.fps)

    def read(self, name: str) -> Demo:
        with self._root(name) as root:
            length = self._length(name, root)
            stored = {view: root[group]["video"][:] for view, group in self.groups.items()}
        return Demo(
            task=self.task,
            name=name,
            instruction=self.instruction(name),
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

    def _length(self, name: str, root: h5py.Group) -> int:
        """Raises ValueError where the videos are of another shape than ATM's, or not of one length."""
        length = self._first_video(root).shape[1]
        for group in self.groups.values():
            video = root[group]["video"]
            if video.dtype != np.uint8 or video.ndim != 5 or video.shape[:3] != (1, length, 3) or length < 2:
                raise ValueError(
                    f"{self.files[name]}: root/{group}/video is {video.dtype} {video.shape}, expected uint8 (1, frames, "
                    "3, height, width), 2 frames or more, as many as the other view"
                )
        return length

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
            except (OSError, RuntimeError, TypeError, AttributeError) as error:
                raise ValueError(f"{file} is damaged: {error}") from error


def atm_tasks(files: list[Path], options: SourceOptions) -> list[AtmTask]:
    """The tasks whose demos `files` are, one a folder."""
    by_folder: dict[Path, dict[str, Path]] = {}
    for file in sorted(files, key=lambda file: natural(file.name)):
        folder = file.parent.parent if file.parent.name.startswith(_SPLIT_FOLDERS) else file.parent
        by_folder.setdefault(folder, {}).setdefault(file.stem, file)
    settings = {"groups": cameras_of(options, VIEW_GROUPS), "fps": options.fps or FPS, "spoken": options.instruction}
    if options.orientation:
        settings |= {"orientation": options.orientation, "because": GIVEN}
    return [AtmTask(folder, found, **settings) for folder, found in by_folder.items()]
