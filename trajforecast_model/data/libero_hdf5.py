"""Reads demos in the layout of the released LIBERO files (`<task>_demo.hdf5`), ours and the authors'.

Two conventions of that layout are turned into ours here and nowhere else:

- Images are stored upside down. They are flipped vertically, and only vertically. (Copies of the data made for LeRobot
  and OpenVLA were rotated by 180 degrees, which also mirrors them; those are other files and not read here.)
- obs[j] was taken after action j, states[j] before it. So the image of states[j] is obs[j - 1], and states[0] has none.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

VIEW_DATASETS = {"side": "agentview_rgb", "effector": "eye_in_hand_rgb"}
_FILE_END = "_demo.hdf5"


@dataclass(frozen=True)
class Demo:
    """One recorded episode.

    states: float64 [N, 1 + nq + nv], one a frame. images: per view uint8 [N - 1, H, W, 3], upright; images[view][j]
    shows states[j + 1]. Empty where the file holds states alone.
    """

    task: str
    name: str
    instruction: str
    model_xml: str
    states: np.ndarray
    images: dict[str, np.ndarray]

    def image(self, view: str, frame: int) -> np.ndarray | None:
        """The recorded image of states[frame], or None."""
        if view not in self.images or frame == 0:
            return None
        return self.images[view][frame - 1]


def find_demo_files(paths: list[Path]) -> list[Path]:
    """The HDF5 files among `paths` and in the folders among them, in natural order of their names.

    Raises:
        ValueError: for a path that does not exist, a folder without demos, or two files of the same task.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [file for file in path.rglob(f"*{_FILE_END}") if not _is_hidden(file.relative_to(path))]
            if not inside:
                raise ValueError(f"{path} has no file named *{_FILE_END}")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise ValueError(f"{path} does not exist; expected a LIBERO HDF5 file or a folder of them")
    by_task: dict[str, Path] = {}
    for file in dict.fromkeys(file.resolve() for file in files):
        other = by_task.setdefault(task_name(file), file)
        if other != file:
            raise ValueError(f"{other} and {file} hold the same task; prepare them into different folders")
    return sorted(by_task.values(), key=lambda file: _natural(file.name))


def task_name(file: Path) -> str:
    return file.name.removesuffix(_FILE_END).removesuffix(".hdf5")


def demo_names(file: Path) -> list[str]:
    """The demos of a file in natural order: demo_2 before demo_10.

    Raises:
        ValueError: if the file is not readable HDF5 or has no demos.
    """
    with _opened(file) as hdf5:
        try:
            names = sorted((name for name in hdf5.get("data", ()) if name.startswith("demo_")), key=_natural)
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{file} is damaged: {error}") from error
    if not names:
        raise ValueError(f"{file} has no demos (no group data/demo_0)")
    return names


def read_demo(file: Path, name: str) -> Demo:
    """Reads one demo whole.

    Raises:
        ValueError: naming the file and the demo, if something needed is missing, damaged or of the wrong shape.
    """
    where = f"{file}: {name}"
    with _opened(file) as hdf5:
        try:
            group = hdf5["data"][name]
            states = group["states"][:]
            model_xml = group.attrs["model_file"]
            images = {
                view: group["obs"][dataset][:][:, ::-1]
                for view, dataset in VIEW_DATASETS.items()
                if dataset in group.get("obs", ())
            }
            instruction = _instruction(hdf5["data"].attrs.get("problem_info"), file)
        except KeyError as error:
            raise ValueError(f"{where} lacks {error}") from error
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{where} is damaged: {error}") from error
    if states.ndim != 2 or len(states) < 2 or not np.isfinite(states).all():
        raise ValueError(f"{where}: states have shape {states.shape}, expected finite values, 2 frames or more")
    for view, recorded in images.items():
        if (
            recorded.shape[0] != len(states)
            or recorded.ndim != 4
            or recorded.shape[-1] != 3
            or recorded.dtype != np.uint8
        ):
            raise ValueError(
                f"{where}: {VIEW_DATASETS[view]} is {recorded.dtype} {recorded.shape}, expected uint8 "
                f"({len(states)}, height, width, 3)"
            )
        # The last image shows a state that was not recorded.
        images[view] = recorded[:-1]
    return Demo(task_name(file), name, instruction, _text(model_xml), states, images)


def fingerprint(file: Path, names: list[str]) -> str:
    """Tells files of the same task apart, cheaply: from the lengths and last states of their demos that can be read."""
    digest = hashlib.sha256()
    with _opened(file) as hdf5:
        for name in names:
            with contextlib.suppress(KeyError, OSError, RuntimeError):
                states = hdf5["data"][name]["states"]
                digest.update(f"{name} {len(states)}".encode() + np.asarray(states[-1]).tobytes())
    return digest.hexdigest()[:16]


def _instruction(problem_info: str | bytes | None, file: Path) -> str:
    """From the file's attributes or, where they lack it, from its name."""
    try:
        words = json.loads(problem_info)["language_instruction"]
    except (TypeError, ValueError, KeyError):
        words = re.sub(r"^[A-Z0-9_]*SCENE\d+_", "", task_name(file)).replace("_", " ")
    return "".join(words).strip().strip('"')


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[h5py.File]:
    try:
        hdf5 = h5py.File(file, "r")
    except OSError as error:
        raise ValueError(f"{file} is not a readable HDF5 file (empty or truncated?): {error}") from error
    with hdf5:
        yield hdf5


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _is_hidden(path: Path) -> bool:
    """`simulate` keeps unfinished work in a hidden folder."""
    return any(part.startswith(".") for part in path.parts)
