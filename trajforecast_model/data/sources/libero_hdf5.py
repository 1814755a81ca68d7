"""Demos in the layout of the released LIBERO files (`<task>_demo.hdf5`), ours and the authors'.

obs[j] was taken after action j, states[j] before it. So the image of frame j, which is that of states[j], is obs[j - 1],
and frame 0 has none.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from trajforecast_model.data.sources.hdf5_demos import Hdf5Demos, Hdf5Header, cameras_for, header_of, text
from trajforecast_model.data.sources.interface import SourceOptions
from trajforecast_model.data.sources.names import instruction_in
from trajforecast_model.data.sources.orientation import GIVEN, must_be_told
from trajforecast_model.sim.cameras import VIEW_DATASETS

CONVENTION = "macros_image_convention"
STORED = {"opengl": "upside_down", "opencv": "upright"}  # by that attribute, robosuite's setting


@dataclass(frozen=True)
class LiberoFile(Hdf5Demos):
    """The demos of a task, in one HDF5 file."""

    kind: str = "LIBERO HDF5"
    replayable: bool = True

    @classmethod
    def open(cls, place: Path, options: SourceOptions | None = None) -> "LiberoFile":
        """A broken file says so only when it is read.

        Raises:
            ValueError: where nothing tells how its images stand, or a view has no camera.
        """
        options, header = options or SourceOptions(), header_of(place)
        datasets = cameras_for(place, options, VIEW_DATASETS, header)
        orientation, because = _orientation(header, datasets)
        if options.orientation:
            orientation, because = options.orientation, GIVEN
        if orientation is None:
            raise must_be_told(place, because)
        return cls(place, orientation, because, datasets, options.fps or header.fps, options.instruction)

    @property
    def task(self) -> str:
        return self.place.stem.removesuffix("_demo")

    def _first_image(self, group: h5py.Group) -> int:
        return 1 if "states" in group else 0

    def _actions(self, group: h5py.Group, length: int) -> np.ndarray | None:
        """Without states the frames are the images, each taken after the action of its number."""
        return super()._actions(group, length) if "states" in group else None

    def _words_of_the_name(self) -> str:
        return instruction_in(self.task)


def holds_libero(header: Hdf5Header) -> bool:
    """Whether a file is of LIBERO's layout, by its images' names; where these do not tell, by its attributes."""
    if set(VIEW_DATASETS.values()) & set(header.pictures):
        return True
    if any(name.endswith("_image") for name in header.pictures):
        return False
    return header.is_of_libero or not (header.env_args or header.episode)


def _orientation(header: Hdf5Header, datasets: dict[str, str]) -> tuple[str | None, str]:
    """How the images stand, None where that is not certain, and what tells it."""
    if CONVENTION in header.attributes:
        convention = text(header.attributes[CONVENTION])
        if convention not in STORED:
            return None, f"its {CONVENTION} is {convention!r}, known are {', '.join(STORED)}"
        return STORED[convention], f"{CONVENTION} {convention}"
    if not header.pictures:
        return STORED["opengl"], "as in LIBERO's files; this one has no images"
    if header.env_args and not header.is_of_libero:
        return None, f"its cameras are called as LIBERO's, its environment is {header.env_args.get('env_name')}"
    if header.is_of_libero or set(datasets.values()) <= set(VIEW_DATASETS.values()):
        return STORED["opengl"], "as in LIBERO's files"
    return None, f"it does not say what wrote it, and its cameras are {', '.join(header.pictures)}"
