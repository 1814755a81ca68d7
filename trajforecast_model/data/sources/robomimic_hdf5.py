"""Demos as robomimic, MimicGen and robocasa keep them: LIBERO's layout with other names and another order.

Images are `obs/<camera>_image`, which robomimic turns upright before it stores them, and obs[j] belongs to states[j]: it
is taken from the simulator in that state. robocasa's words are `lang` of a demo's attribute `ep_meta`; the others have
none. Source: the repositories ARISE-Initiative/robomimic (scripts/dataset_states_to_obs.py, envs/env_robosuite.py),
NVlabs/mimicgen and robocasa/robocasa.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py

from trajforecast_model.data.sources.hdf5_demos import Hdf5Demos, Hdf5Header, cameras_for, header_of, text
from trajforecast_model.data.sources.interface import SourceOptions
from trajforecast_model.data.sources.libero_hdf5 import CONVENTION, STORED
from trajforecast_model.data.sources.orientation import GIVEN, must_be_told
from trajforecast_model.sim.cameras import VIEW_CAMERAS

# Of the names that the programs give to such a view, the first that a file has.
USUAL_CAMERAS = {
    "side": ("agentview_image", "robot0_agentview_left_image"),
    "effector": ("robot0_eye_in_hand_image",),
}
# What `exact` replays: LIBERO's cameras, which the other scenes have too.
REPLAYED = {view: f"{camera}_image" for view, camera in VIEW_CAMERAS.items()}


@dataclass(frozen=True)
class RobomimicFile(Hdf5Demos):
    """The demos of a task, in one HDF5 file."""

    environment: str = ""
    kind: str = "robomimic HDF5"

    @classmethod
    def open(cls, place: Path, options: SourceOptions) -> "RobomimicFile":
        """Raises ValueError where nothing tells how its images stand, or which camera a view is."""
        header = header_of(place)
        usual = {
            view: next((name for name in names if name in header.pictures), names[0] if not header.pictures else None)
            for view, names in USUAL_CAMERAS.items()
        }
        datasets = cameras_for(place, options, {view: name for view, name in usual.items() if name}, header)
        orientation, because = _orientation(header, datasets)
        if options.orientation:
            orientation, because = options.orientation, GIVEN
        if orientation is None:
            raise must_be_told(place, because)
        environment = text(header.env_args.get("env_name", ""))
        return cls(
            place, orientation, because, datasets, options.fps or header.fps, options.instruction, environment
        )  # fmt: skip

    @property
    def task(self) -> str:
        """Files of several tasks are called alike: image.hdf5, demo.hdf5."""
        return "_".join(filter(None, (self.environment, self.place.stem)))

    @property
    def replayable(self) -> bool:
        return all(REPLAYED.get(view) == dataset for view, dataset in self.datasets.items())

    def _first_image(self, group: h5py.Group) -> int:
        return 0

    def _words_of_the_name(self) -> str:
        return ""


def _orientation(header: Hdf5Header, datasets: dict[str, str]) -> tuple[str | None, str]:
    """How the images stand, None where that is not certain, and what tells it."""
    of_robomimic = bool(header.env_args or header.episode) and not header.is_of_libero
    if CONVENTION in header.attributes:
        convention = text(header.attributes[CONVENTION])
        if of_robomimic or convention not in STORED:
            return None, f"it is of robomimic, whose images are upright, but its {CONVENTION} is {convention!r}"
        return STORED[convention], f"{CONVENTION} {convention}"
    if not header.pictures:
        return "upright", "as in robomimic's files; this one has no images"
    if header.is_of_libero:
        return (
            None,
            "it is of LIBERO, whose images are upside down, but they are called as robomimic's, which are upright",
        )
    if of_robomimic and all(name.endswith("_image") for name in datasets.values()):
        return "upright", "as robomimic stores them"
    return None, f"it does not say what wrote it (no env_args), and its cameras are {', '.join(header.pictures)}"
