"""Demos in the layout of the released LIBERO files (`<task>_demo.hdf5`), ours and the authors'.

obs[j] was taken after action j, states[j] before it. So the image of frame j, which is that of states[j], is obs[j - 1],
and frame 0 has none.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.interface import Outline, SourceOptions, cameras_of, digest_of
from trajforecast_model.data.sources.names import instruction_in, natural
from trajforecast_model.data.sources.orientation import upright
from trajforecast_model.sim.cameras import VIEW_DATASETS

FILE_END = "_demo.hdf5"
FPS = 20.0
_STORED = {"opengl": "upside_down", "opencv": "upright"}  # by the attribute macros_image_convention


@dataclass(frozen=True)
class LiberoFile:
    """The demos of a task, in one HDF5 file."""

    place: Path
    orientation: str
    datasets: dict[str, str] = field(default_factory=lambda: dict(VIEW_DATASETS))  # by view, of data/demo_<i>/obs
    kind: str = "LIBERO HDF5"
    fps: float = FPS
    replayable: bool = True

    @classmethod
    def open(cls, place: Path, options: SourceOptions | None = None) -> "LiberoFile":
        """Takes the orientation from the file where none is given. A broken file says so only when it is read."""
        options = options or SourceOptions()
        convention = "opengl"
        with contextlib.suppress(ValueError, KeyError, OSError, RuntimeError), opened(place) as hdf5:
            convention = text(hdf5["data"].attrs.get("macros_image_convention", convention))
        orientation = options.orientation or _STORED.get(convention, "upside_down")
        return cls(place, orientation, cameras_of(options, VIEW_DATASETS), fps=options.fps or FPS)

    @property
    def task(self) -> str:
        return self.place.stem.removesuffix("_demo")

    def names(self) -> list[str]:
        with opened(self.place) as hdf5:
            try:
                data = hdf5.get("data")
                inside = data if isinstance(data, h5py.Group) else ()
                names = sorted((name for name in inside if name.startswith("demo_")), key=natural)
            except (OSError, RuntimeError) as error:
                raise ValueError(f"{self.place} is damaged: {error}") from error
        if not names:
            raise ValueError(f"{self.place} has no demos (no group data/demo_0)")
        return names

    def outline(self, name: str) -> Outline:
        with self._group(name) as group:
            recorded = [dataset for dataset in self.datasets.values() if dataset in group.get("obs", ())]
            if "states" in group:
                return Outline(len(group["states"]), self.fps, 1 if recorded else None)
            return Outline(len(group["obs"][recorded[0]]) if recorded else 0, self.fps, 0 if recorded else None)

    def read(self, name: str) -> Demo:
        where = f"{self.place}: {name}"
        with self._group(name) as group:
            states = group["states"][:] if "states" in group else None
            model_xml = group.attrs.get("model_file")
            stored = {
                view: group["obs"][dataset][:]
                for view, dataset in self.datasets.items()
                if dataset in group.get("obs", ())
            }
            # Futures of one beginning (`simulate --futures`) are not all told to do the file's task.
            own = text(group.attrs.get("language_instruction", ""))
            instruction = own or _instruction(group.parent.attrs.get("problem_info"), self.task)
        if states is not None and (states.ndim != 2 or len(states) < 2 or not np.isfinite(states).all()):
            raise ValueError(f"{where}: states have shape {states.shape}, expected finite values, 2 frames or more")
        if states is None and not stored:
            raise ValueError(f"{where} lacks both states and images (obs/{', obs/'.join(self.datasets.values())})")
        length = len(states) if states is not None else len(next(iter(stored.values())))
        for view, images in stored.items():
            whole = images.ndim == 4 and len(images) == length and images.shape[-1] == 3 and 0 not in images.shape
            if not whole or images.dtype != np.uint8:
                raise ValueError(
                    f"{where}: {self.datasets[view]} is {images.dtype} {images.shape}, expected uint8 "
                    f"({length}, height, width, 3)"
                )
        first = 0 if states is None else 1
        return Demo(
            task=self.task,
            name=name,
            instruction=instruction,
            num_frames=length,
            fps=self.fps,
            # The last image shows a state that was not recorded.
            images={
                view: dict(enumerate(upright(images, self.orientation)[: length - first], first))
                for view, images in stored.items()
            },
            states=states,
            model_xml=None if model_xml is None else text(model_xml),
        )

    def fingerprint(self, name: str) -> str:
        """From the length and the last state, or else the last image."""
        with self._group(name) as group:
            recorded = group["states"] if "states" in group else group["obs"][next(iter(self.datasets.values()))]
            return digest_of(len(recorded), np.asarray(recorded[-1]).tobytes())

    @contextlib.contextmanager
    def _group(self, name: str) -> Iterator[h5py.Group]:
        with opened(self.place) as hdf5:
            try:
                group = hdf5["data"][name]
                if not isinstance(group, h5py.Group):
                    raise ValueError(f"{self.place}: {name} is no group of datasets")
                yield group
            except KeyError as error:
                raise ValueError(f"{self.place}: {name} lacks {error}") from error
            except (OSError, RuntimeError, IndexError, TypeError) as error:
                raise ValueError(f"{self.place}: {name} is damaged: {error}") from error


@contextlib.contextmanager
def opened(file: Path) -> Iterator[h5py.File]:
    """An HDF5 file open for reading. Raises ValueError naming it where it is not readable as one."""
    try:
        hdf5 = h5py.File(file, "r")
    except OSError as error:
        raise ValueError(f"{file} is not a readable HDF5 file (empty or truncated?): {error}") from error
    with hdf5:
        yield hdf5


def text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _instruction(problem_info: str | bytes | None, task: str) -> str:
    """From the file's attributes or, where they lack it, from its name."""
    try:
        words = "".join(json.loads(problem_info)["language_instruction"])
    except (TypeError, ValueError, KeyError):
        words = instruction_in(task)
    return words.strip().strip('"')
