"""Demos of a dataset in LeRobot's format, versions 2.0, 2.1 and 3.0: `meta/info.json`, episodes, tasks; a table of
frames in `data/`; images in that table or in `videos/`.

In version 2 an episode has files of its own and `meta/episodes.jsonl` lists them; in version 3 files hold many episodes,
and `meta/episodes/**/*.parquet` says where each lies. Source: the repository huggingface/lerobot, src/lerobot/datasets.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.interface import Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.names import task_named_after
from trajforecast_model.data.sources.orientation import upright
from trajforecast_model.data.sources.pictures import decode_picture, read_video

INFO_FILE = Path("meta/info.json")
# By these names the copies of LIBERO call their cameras, after the last dot; their images are mirrored.
LIBERO_COPY_CAMERAS = {"side": ("image",), "effector": ("wrist_image", "image2")}


@dataclass(frozen=True)
class LeRobotTask:
    """The episodes of one instruction in a dataset."""

    place: Path
    task: str
    episodes: dict[str, dict]  # by name, the row of the dataset's list of episodes
    info: dict
    cameras: dict[str, str]  # feature by view
    orientation: str
    fps: float
    image_size: tuple[int, int]
    kind: str = "LeRobot dataset"
    replayable: bool = False

    def names(self) -> list[str]:
        return list(self.episodes)

    def outline(self, name: str) -> Outline:
        self._data_file(name)
        for key in self.cameras.values():
            if self._is_video(key):
                self._video_file(name, key)
        return Outline(int(self.episodes[name]["length"]), self.fps)

    def read(self, name: str) -> Demo:
        length = self.outline(name).num_frames
        if length < 2:
            raise ValueError(f"{self.place}: {name} has {length} frames, 2 or more are needed")
        images = {}
        for view, key in self.cameras.items():
            frames = self._video(name, key, length) if self._is_video(key) else self._pictures(name, key, length)
            images[view] = {number: upright(frame, self.orientation) for number, frame in enumerate(frames)}
        return Demo(
            task=self.task,
            name=name,
            instruction=_instruction(self.episodes[name]),
            num_frames=length,
            fps=self.fps,
            images=images,
        )

    def fingerprint(self, name: str) -> str:
        """From the episode's length and number, and the dataset's total of frames."""
        row = self.episodes[name]
        return digest_of(self.info.get("total_frames"), row["episode_index"], row["length"])

    def _pictures(self, name: str, key: str, length: int) -> list[np.ndarray]:
        file, episode = self._data_file(name), int(self.episodes[name]["episode_index"])
        where = f"{self.place}: {name}: {key}"
        try:
            table = pa.parquet.read_table(
                file, columns=["frame_index", key], filters=[("episode_index", "=", episode)]
            ).sort_by("frame_index")
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise ValueError(f"{where}: {file} is damaged or lacks it ({error})") from error
        if len(table) != length:
            raise ValueError(f"{where}: {file} has {len(table)} frames of it, {length} are listed")
        return [self._picture(cell, f"{where}: frame {number}") for number, cell in enumerate(table[key].to_pylist())]

    def _picture(self, cell: dict | bytes | None, where: str) -> np.ndarray:
        """A cell is the picture's bytes, or a struct of those and a path in the dataset."""
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if data is None and isinstance(cell, dict) and cell.get("path"):
            data = self._inside(cell["path"], where).read_bytes()
        return decode_picture(data or b"", where, self.image_size)

    def _video(self, name: str, key: str, length: int) -> list[np.ndarray]:
        start = 0
        if self._files_are_shared():
            start = round(float(self.episodes[name][f"videos/{key}/from_timestamp"]) * float(self.info["fps"]))
        return read_video(self._video_file(name, key), self.image_size, start, length)

    def _data_file(self, name: str) -> Path:
        return self._file("data_path", name, "data")

    def _video_file(self, name: str, key: str) -> Path:
        return self._file("video_path", name, f"videos/{key}", video_key=key)

    def _file(self, path: str, name: str, of: str, **known: str) -> Path:
        """The file by the path of this name in info.json, filled with the episode's numbers."""
        row = self.episodes[name]
        try:
            if self._files_are_shared():
                numbers = {"chunk_index": int(row[f"{of}/chunk_index"]), "file_index": int(row[f"{of}/file_index"])}
            else:
                number = int(row["episode_index"])
                numbers = {"episode_index": number, "episode_chunk": number // int(self.info.get("chunks_size", 1000))}
            file = self.info[path].format(**numbers, **known)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{self.place}: {name}: meta/ does not say where {of} is ({error!r})") from error
        return self._inside(file, f"{self.place}: {name}")

    def _inside(self, path: str, where: str) -> Path:
        """A file of the dataset by the path that the dataset names, which is not to lead out of it."""
        if Path(path).is_absolute() or ".." in Path(path).parts or not (self.place / path).is_file():
            raise ValueError(f"{where}: {path} is not a file of the dataset")
        return self.place / path

    def _files_are_shared(self) -> bool:
        return _version(self.info) >= 3

    def _is_video(self, key: str) -> bool:
        return self.info["features"][key]["dtype"] == "video"


def lerobot_tasks(place: Path, options: SourceOptions) -> list[LeRobotTask]:
    """The tasks of a dataset.

    Raises:
        ValueError: where it is not LeRobot's format as this program knows it, or its cameras must be named.
    """
    info = _read_info(place)
    cameras, is_libero_copy = _cameras(place, info, options)
    by_task: dict[str, dict[str, dict]] = {}
    for row in _episodes(place, info):
        task = task_named_after(_instruction(row)) or "task"
        by_task.setdefault(task, {})[f"episode_{int(row['episode_index']):06d}"] = row
    if not by_task:
        raise ValueError(f"{place} lists no episodes")
    orientation = options.orientation or ("mirrored" if is_libero_copy else "upright")
    fps = options.fps or float(info["fps"])
    return [
        LeRobotTask(place, task, episodes, info, cameras, orientation, fps, options.image_size)
        for task, episodes in by_task.items()
    ]


def _read_info(place: Path) -> dict:
    path = place / INFO_FILE
    try:
        info = json.loads(path.read_text())
        missing = [name for name in ("fps", "features", "data_path") if name not in info]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not readable: {error}") from error
    if not missing and not (isinstance(info["fps"], (int, float)) and 0 < info["fps"] < math.inf):
        raise ValueError(f"{path}: fps is {info['fps']!r}, expected frames a second, above 0")
    if missing or _version(info) not in (2, 3):
        raise ValueError(
            f"{path}: {'it lacks ' + ', '.join(missing) if missing else 'version ' + str(info.get('codebase_version'))}; "
            "expected LeRobot's format of version 2 or 3"
        )
    return info


def _version(info: dict) -> int:
    number = str(info.get("codebase_version", "")).removeprefix("v").partition(".")[0]
    return int(number) if number.isdigit() else 0


def _episodes(place: Path, info: dict) -> list[dict]:
    """The list of episodes in order, without their statistics."""
    try:
        if _version(info) == 2:
            lines = (place / "meta/episodes.jsonl").read_text().splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
        else:
            rows = []
            for file in sorted((place / "meta/episodes").rglob("*.parquet")):
                names = pa.parquet.read_schema(file).names
                wanted = [name for name in names if not name.startswith("stats/")]
                rows += pa.parquet.read_table(file, columns=wanted).to_pylist()
        for row in rows:
            int(row["episode_index"]), int(row["length"]), row["tasks"][0]
    except (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException) as error:
        raise ValueError(f"{place}: its list of episodes in meta/ is missing or damaged: {error!r}") from error
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def _instruction(row: dict) -> str:
    return str(row["tasks"][0]).strip()


def _cameras(place: Path, info: dict, options: SourceOptions) -> tuple[dict[str, str], bool]:
    """The feature of each view, and whether they are called as the copies of LIBERO call them."""
    known = [key for key, feature in info["features"].items() if feature.get("dtype") in ("image", "video")]
    usual = {
        view: key for view, names in LIBERO_COPY_CAMERAS.items() for key in known if key.rpartition(".")[2] in names
    }
    cameras = {}
    for view, camera in options.cameras.items():
        key = camera or usual.get(view)
        if key not in known:
            raise ValueError(
                f"{place}: which of its cameras is the view {view}? It has {', '.join(known) or 'none'}; give "
                f"--view {view}=CAMERA, and --view once for each view there is to be"
            )
        cameras[view] = key
    return cameras, usual.keys() == LIBERO_COPY_CAMERAS.keys()
