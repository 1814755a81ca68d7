"""What the robot did and how it stood in each frame of LIBERO's HDF5 demos, beside the windows prepared from them."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from trajforecast_model.data.sources.hdf5_demos import opened

JOINTS, FINGERS, ACTIONS = 7, 2, 7


@dataclass(frozen=True)
class LabelledDemo:
    """`actions[j]` was taken in the state that frame j shows; float32 [N, 7].

    body: float32 [N, 9], how the robot stood in frame j: joints in radians, fingers in metres.
    """

    actions: np.ndarray
    body: np.ndarray


def labelled_demo(folder: Path, task: str, demo: str) -> LabelledDemo:
    """Raises ValueError where the folder lacks it, or it lacks actions or joints, or these are not finite numbers."""
    path = folder / f"{task}_demo.hdf5"
    if not path.is_file():
        raise ValueError(
            f"data.demos: {folder} has no {path.name}, of which data.folder holds windows; give the folder of the HDF5 "
            "files that were prepared"
        )
    with opened(path) as file:
        group = file.get(f"data/{demo}")
        if group is None:
            raise ValueError(f"data.demos: {path} has no {demo}, of which data.folder holds windows")
        if "actions" not in group:
            raise ValueError(f"data.demos: {path}: {demo} has no actions; a policy learns from demos that have")
        actions, body = group["actions"][:].astype(np.float32), _body(path, demo, group)
    for name, values, width in (("actions", actions, ACTIONS), ("joints and fingers", body, JOINTS + FINGERS)):
        if values.ndim != 2 or values.shape[1] != width or not np.isfinite(values).all():
            raise ValueError(
                f"data.demos: {path}: {demo}: {name} are {list(values.shape)}, expected finite numbers of [frames, {width}]"
            )
    if len(actions) != len(body):
        raise ValueError(
            f"data.demos: {path}: {demo} has {len(actions)} actions and {len(body)} readings of the joints"
        )
    return LabelledDemo(actions, body)


def _body(path: Path, demo: str, group: h5py.Group) -> np.ndarray:
    """Of the states, in which the robot comes first after the time; else as they were observed."""
    if "states" in group:
        return group["states"][:, 1 : 1 + JOINTS + FINGERS].astype(np.float32)
    observed = [group.get(f"obs/{name}") for name in ("joint_states", "gripper_states")]
    if None in observed:
        raise ValueError(
            f"data.demos: {path}: {demo} has neither states nor obs/joint_states and obs/gripper_states; a policy needs to "
            "know how the robot stands"
        )
    return np.concatenate([values[:] for values in observed], axis=1).astype(np.float32)
