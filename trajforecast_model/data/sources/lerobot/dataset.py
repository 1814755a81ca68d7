"""Demos of a dataset in LeRobot's format: a table of frames in `data/`; images in that table or in `videos/`.

Each of its parts says something of the frames: the list of episodes, the table's rows and their times, the videos. They
are compared: where they differ harmlessly a line says what was taken, elsewhere the episode is refused.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.frame_times import agreed_length, nearly, note_on_times
from trajforecast_model.data.sources.interface import Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.lerobot import tables
from trajforecast_model.data.sources.lerobot.cameras import cameras_of, orientation_of
from trajforecast_model.data.sources.lerobot.episodes import Episode, Words
from trajforecast_model.data.sources.lerobot.metadata import listed_episodes, read_info, version_of
from trajforecast_model.data.sources.names import task_named_after
from trajforecast_model.data.sources.orientation import upright
from trajforecast_model.data.sources.pictures import decode_picture, read_video, video_length_and_fps

_BESIDE_A_FRAME = ("frame_index", "timestamp", "task_index")
_PLACES = (*_BESIDE_A_FRAME, "episode_index", "index")


@dataclass(frozen=True)
class LeRobotTask:
    """The episodes of one instruction in a dataset."""

    place: Path
    task: str
    episodes: dict[str, Episode]  # by name
    info: dict
    words: Words
    cameras: dict[str, str]  # feature by view
    orientation: str
    because: str
    fps: float
    rate_is_given: bool
    image_size: tuple[int, int]
    spoken: str = ""  # the words where the dataset has none
    kind: str = "LeRobot dataset"
    replayable: bool = False

    def names(self) -> list[str]:
        return list(self.episodes)

    def instruction(self, name: str) -> str:
        return self.episodes[name].instruction or self.spoken

    def outline(self, name: str) -> Outline:
        length, _ = self._length(name)
        return Outline(self._frames_of(name, length)[1], self.fps)

    def read(self, name: str) -> Demo:
        rows, notes = self._length(name)
        counts, videos = {"its table": rows}, {}
        for view, key in self.cameras.items():
            if self._is_video(key):
                videos[view] = read_video(
                    self._video_file(name, key), self.image_size, self._start(name, key), rows
                ).frames
                counts[f"the video of {key}"] = len(videos[view])
        length, note = agreed_length(counts, self._where(name))
        first, count = self._frames_of(name, length)
        if count < 2:
            raise ValueError(f"{self._where(name)} has {count} frames, 2 or more are needed")
        images = {}
        for view, key in self.cameras.items():
            frames = videos[view][first : first + count] if view in videos else self._pictures(name, key, first, count)
            images[view] = {number: upright(frame, self.orientation) for number, frame in enumerate(frames)}
        return Demo(
            task=self.task,
            name=name,
            instruction=self.instruction(name),
            num_frames=count,
            fps=self.fps,
            images=images,
            numbers=self._numbers(name, first, count),
            notes=(*notes, *filter(None, [note])),
        )

    def fingerprint(self, name: str) -> str:
        """From the episode's length and number, the dataset's total of frames, and which part of the episode it is."""
        episode = self.episodes[name]
        which = (self.info.get("total_frames"), episode.row["episode_index"], episode.row["length"])
        return digest_of(*which, *(episode.part or ()))

    def _frames_of(self, name: str, length: int) -> tuple[int, int]:
        """The first of the episode's frames that are the demo's, and how many they are, of `length` that there are."""
        first, end = self.episodes[name].part or (0, length)
        return first, max(0, min(end, length) - first)

    def _length(self, name: str) -> tuple[int, list[str]]:
        """How many rows the episode has, and what there is to say of it; as far as it shows without an image.

        Raises:
            ValueError: where list, rows, their times and words, and videos do not fit each other.
        """
        episode, where = self.episodes[name], self._where(name)
        table = self._table(name, ())
        rows, note = agreed_length({"the list of episodes": episode.listed_length, "its table": len(table)}, where)
        notes = [note]
        if wrong := tables.missing_frames(table):
            raise ValueError(f"{where}: frames are missing or twice there: {wrong}")
        if "timestamp" in table.column_names and not self.rate_is_given:
            notes.append(note_on_times(table["timestamp"].to_numpy(), self.fps, where))
        if episode.part is None and (wrong := self.words.contradicts(episode, _numbers(table))):
            raise ValueError(f"{where}: {wrong}; correct one of them")
        named = _data_file(self.place, self.info, episode.row)
        if not tables.is_in(named, episode.number):
            notes.append(f"{where}: its frames are not in the file that meta/ names, but in another of data/")
        for key in filter(self._is_video, self.cameras.values()):
            notes.append(self._compare_video(name, key, rows))
        return rows, [note for note in notes if note]

    def _compare_video(self, name: str, key: str, rows: int) -> str | None:
        """Raises ValueError where a video is of another length than the table; what there is to say of its rate."""
        where, file = self._where(name), self._video_file(name, key)
        frames, fps = video_length_and_fps(file)
        start, shared = self._start(name, key), self._files_are_shared()
        too_few = frames and frames - start < rows and not nearly(frames - start, rows)
        # Containers often count a frame more than there is.
        too_many = not shared and frames > rows and not nearly(rows, frames - 1)
        if too_few or too_many:
            raise ValueError(
                f"{where}: {file} has {frames - start} frames from {start} on, its table {rows}; which is it?"
            )
        if not fps > 0 or abs(fps / float(self.info["fps"]) - 1) < 0.01:
            return None
        if shared and start:
            raise ValueError(
                f"{where}: {file} plays {fps:g} frames a second and meta/info.json says {self.info['fps']:g}: it is not "
                "certain where in the file the episode begins"
            )
        return f"{where}: {file.name} plays {fps:g} frames a second; a frame of it was taken for each row of the table"

    def _numbers(self, name: str, first: int, count: int) -> dict[str, np.ndarray]:
        """State, action and the like, float32 [count, D] by the feature's name: rows of numbers of one length."""
        named = tables.columns_of(_data_file(self.place, self.info, self.episodes[name].row))
        wanted = [
            key for key, feature in self.info["features"].items() if key in named and _is_of_numbers(key, feature)
        ]
        if not wanted:
            return {}
        table, numbers = self._table(name, tuple(wanted)).slice(first, count), {}
        for key in wanted:
            try:
                values = np.array(table[key].to_pylist(), np.float32)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{self._where(name)}: {key} is not {self.info['features'][key]}: {error}") from error
            numbers[key] = values.reshape(count, -1)
        return numbers

    def _pictures(self, name: str, key: str, first: int, count: int) -> list[np.ndarray]:
        cells = self._table(name, (key,))[key].slice(first, count).to_pylist()
        where = f"{self._where(name)}: {key}: frame"
        return [self._picture(cell, f"{where} {first + number}") for number, cell in enumerate(cells)]

    def _picture(self, cell: dict | bytes | None, where: str) -> np.ndarray:
        """A cell is the picture's bytes, or a struct of those and a path in the dataset."""
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if data is None and isinstance(cell, dict) and cell.get("path"):
            data = self._inside(cell["path"], where).read_bytes()
        return decode_picture(data or b"", where, self.image_size)

    def _table(self, name: str, columns: tuple[str, ...]) -> pa.Table:
        return _table(self.place, self.info, self.episodes[name].row, (*columns, *_BESIDE_A_FRAME))

    def _where(self, name: str) -> str:
        return f"{self.place}: {name}"

    def _start(self, name: str, key: str) -> int:
        """The frame of the video at which the episode begins."""
        if not self._files_are_shared():
            return 0
        try:
            return round(float(self.episodes[name].row[f"videos/{key}/from_timestamp"]) * float(self.info["fps"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self._where(name)}: meta/ does not say where it begins in its video ({error!r})"
            ) from error

    def _video_file(self, name: str, key: str) -> Path:
        path = _named_path(self.place, self.info, self.episodes[name].row, "video_path", f"videos/{key}", video_key=key)
        return self._inside(path, self._where(name))

    def _inside(self, path: str, where: str) -> Path:
        """A file of the dataset by the path that the dataset names, which is not to lead out of it."""
        if not _is_inside(self.place, path):
            raise ValueError(f"{where}: {path} is not a file of the dataset")
        return self.place / path

    def _files_are_shared(self) -> bool:
        return version_of(self.info) >= 3

    def _is_video(self, key: str) -> bool:
        return self.info["features"][key]["dtype"] == "video"


def lerobot_tasks(place: Path, options: SourceOptions) -> list[LeRobotTask]:
    """The tasks of a dataset.

    Raises:
        ValueError: where it is not LeRobot's format as this program knows it, its cameras must be named, nothing tells how
            its images stand, or what the robot is told in an episode.
    """
    info = read_info(place)
    cameras = cameras_of(place, info, options)
    orientation, because = orientation_of(place, info, cameras, options)
    words = Words(place)
    by_task: dict[str, dict[str, Episode]] = {}
    for row in listed_episodes(place, info):
        for episode in words.parts_of(row, lambda row=row: _numbers(_table(place, info, row, _BESIDE_A_FRAME))):
            task = task_named_after(episode.instruction or options.instruction) or "task"
            by_task.setdefault(task, {})[episode.name] = episode
    if not by_task:
        raise ValueError(f"{place} lists no episodes")
    return [
        LeRobotTask(
            place,
            task,
            episodes,
            info,
            words,
            cameras,
            orientation,
            because,
            options.fps or float(info["fps"]),
            options.fps is not None,
            options.image_size,
            options.instruction,
        )
        for task, episodes in by_task.items()
    ]


def _data_file(place: Path, info: dict, row: dict) -> Path | None:
    """The file that meta/ names for the rows of an episode; None where the dataset has no such file."""
    path = _named_path(place, info, row, "data_path", "data")
    return place / path if _is_inside(place, path) else None


def _named_path(place: Path, info: dict, row: dict, pattern: str, of: str, **known: str) -> str:
    """The path by the pattern of this name in info.json, filled with the episode's numbers."""
    try:
        if version_of(info) >= 3:
            numbers = {"chunk_index": int(row[f"{of}/chunk_index"]), "file_index": int(row[f"{of}/file_index"])}
        else:
            number = int(row["episode_index"])
            numbers = {"episode_index": number, "episode_chunk": number // int(info.get("chunks_size", 1000))}
        return info[pattern].format(**numbers, **known)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        name = f"episode_{int(row['episode_index']):06d}"
        raise ValueError(f"{place}: {name}: meta/ does not say where {of} is ({error!r})") from error


def _table(place: Path, info: dict, row: dict, columns: tuple[str, ...]) -> pa.Table:
    number = int(row["episode_index"])
    try:
        return tables.episode_table(place, _data_file(place, info, row), number, int(row["length"]), columns)
    except ValueError as error:
        message = str(error)
        raise ValueError(message if str(place) in message else f"{place}: episode_{number:06d}: {message}") from error


def _numbers(table: pa.Table) -> np.ndarray | None:
    return table["task_index"].to_numpy() if "task_index" in table.column_names else None


def _is_of_numbers(key: str, feature: dict) -> bool:
    """Whether a feature is a row of numbers that was recorded, and not a place in the dataset."""
    return (
        key not in _PLACES
        and str(feature.get("dtype")).startswith(("float", "int", "uint", "bool"))
        and len(feature.get("shape") or ()) == 1
    )


def _is_inside(place: Path, path: str) -> bool:
    return not Path(path).is_absolute() and ".." not in Path(path).parts and (place / path).is_file()
