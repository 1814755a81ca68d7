"""A simulated block scene on disk: one HDF5 file, from which MuJoCo alone can show every moment again.

attributes            seed, primitives, objects (JSON), model_file (MJCF)
textures/<name>       uint8 [n], PNG files that the model names
image                 uint8 [256, 256, 3], RGB, upright: the first frame of every rollout
mask                  uint8 [256, 256], 1 + i where object i is seen in the image
states                float64 [R, T, 1 + nq + nv], by rollout and frame: time, positions, velocities
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.sim.blocks.scene import Scene

FILE_PATTERN = "scene_*.hdf5"  # in which the star is the seed


@dataclass(frozen=True)
class SimulatedScene:
    """A scene and its futures; fields as in the file."""

    scene: Scene
    image: np.ndarray
    mask: np.ndarray
    states: np.ndarray


def scene_file_name(seed: int) -> str:
    return f"scene_{seed:06d}.hdf5"


def write_scene(path: Path, simulated: SimulatedScene) -> None:
    """The file has its name only when it is whole."""
    memory = io.BytesIO()
    scene = simulated.scene
    with h5py.File(memory, "w") as file:
        file.attrs["seed"] = scene.seed
        file.attrs["primitives"] = scene.primitives
        file.attrs["objects"] = json.dumps(scene.objects)
        file.attrs["model_file"] = scene.model_xml
        for name, png in scene.textures.items():
            file[f"textures/{name}"] = np.frombuffer(png, np.uint8)
        file.create_dataset("image", data=simulated.image, compression="gzip")
        file.create_dataset("mask", data=simulated.mask, compression="gzip")
        file["states"] = simulated.states
    write_atomically(path, memory.getvalue())


def read_scene(path: Path) -> SimulatedScene:
    """Raises ValueError, naming the file, where it is not a whole file of `simulate --suite blocks`."""
    try:
        with h5py.File(path, "r") as file:
            scene = Scene(
                seed=int(file.attrs["seed"]),
                primitives=str(file.attrs["primitives"]),
                model_xml=str(file.attrs["model_file"]),
                textures={name: png[:].tobytes() for name, png in file["textures"].items()},
                objects=json.loads(file.attrs["objects"]),
            )
            return SimulatedScene(scene, file["image"][:], file["mask"][:], file["states"][:])
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} is not a readable block scene ({error}); delete it and simulate it again") from error
