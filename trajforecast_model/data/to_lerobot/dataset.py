"""Writes a dataset in LeRobot's format, version 3.0: many episodes a file, pictures in the tables.

Source: the repository huggingface/lerobot, src/lerobot/datasets.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

LARGEST_FILE = 100  # MiB of a table of frames, LeRobot's own habit
FILES_A_FOLDER = 1000
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_FILE = "meta/episodes/chunk-000/file-000.parquet"
IMAGE = "image"
# What every dataset has beside each frame, in LeRobot's order.
_PLACES = {
    "timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64",
}  # fmt: skip


class DatasetWriter:
    """Takes one episode after another. `close` makes the folder a dataset.

    Args:
        folder: an empty one.
        fps: whole frames a second.
        features: as in `meta/info.json`, by name: dtype, shape, names, and what else there is to say. Pictures are of
            dtype "image"; other values numpy's.
    """

    def __init__(self, folder: Path, fps: int, features: dict[str, dict]):
        self._folder, self._fps = folder, fps
        self.features = features | {
            name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in _PLACES.items()
        }
        self._schema = pa.schema({name: _type(feature) for name, feature in self.features.items()})
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict] = []
        self._frames = 0
        self._statistics = {name: _Statistics() for name, feature in self.features.items() if feature["dtype"] != IMAGE}
        self._file_number = 0
        self._file: pa.parquet.ParquetWriter | None = None

    def add(self, instruction: str, values: dict[str, np.ndarray | list[bytes]]) -> None:
        """An episode.

        Args:
            values: of all features: arrays [N, *shape]; of pictures N encoded files.
        """
        length = len(next(iter(values.values())))
        number, first = len(self._episodes), self._frames
        task = self._tasks.setdefault(instruction, len(self._tasks))
        frames = np.arange(length)
        values = values | {
            "timestamp": (frames / self._fps).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(length, number),
            "index": first + frames,
            "task_index": np.full(length, task),
        }
        columns = []
        for name, feature in self.features.items():
            if feature["dtype"] == IMAGE:
                cells = [
                    {"bytes": data, "path": f"frame-{frame:06d}.png"}
                    for frame, data in zip(frames, values[name], strict=True)
                ]
                columns.append(pa.array(cells, type=_type(feature)))
                continue
            array = np.asarray(values[name], feature["dtype"]).reshape(length, *feature["shape"])
            self._statistics[name].add(array)
            columns.append(_nested(array, _type(feature)))
        chunk, file = divmod(self._file_number, FILES_A_FOLDER)
        self._write(pa.Table.from_arrays(columns, schema=self._schema), chunk, file)
        self._episodes.append(
            {
                "episode_index": number,
                "tasks": [instruction],
                "length": length,
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": first,
                "dataset_to_index": first + length,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
        )
        self._frames += length

    def close(self) -> None:
        """Writes what says where all is."""
        self._end_file()
        meta = self._folder / "meta"
        (self._folder / EPISODES_FILE).parent.mkdir(parents=True, exist_ok=True)
        pa.parquet.write_table(pa.Table.from_pylist(self._episodes), self._folder / EPISODES_FILE)
        pa.parquet.write_table(_tasks_table(self._tasks), meta / "tasks.parquet")
        statistics = {name: statistics.told() for name, statistics in self._statistics.items()}
        (meta / "stats.json").write_text(json.dumps(statistics) + "\n")
        info = {
            "codebase_version": "v3.0",
            "robot_type": None,
            "total_episodes": len(self._episodes),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": FILES_A_FOLDER,
            "data_files_size_in_mb": LARGEST_FILE,
            "video_files_size_in_mb": 200,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": DATA_PATH,
            "video_path": None,
            "features": self.features,
        }
        (meta / "info.json").write_text(json.dumps(info, indent=2) + "\n")

    def _write(self, table: pa.Table, chunk: int, file: int) -> None:
        path = self._folder / DATA_PATH.format(chunk_index=chunk, file_index=file)
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = pa.parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._file.write_table(table)
        if path.stat().st_size >= LARGEST_FILE * 2**20:
            self._end_file()

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._file_number += 1


class _Statistics:
    """Of a feature over all frames, as `meta/stats.json` has it."""

    def __init__(self):
        self._count = 0

    def add(self, array: np.ndarray) -> None:
        numbers = array.astype(np.float64)
        sums = numbers.sum(0), (numbers**2).sum(0)
        ends = numbers.min(0), numbers.max(0)
        if self._count:
            self._sums = tuple(a + b for a, b in zip(self._sums, sums, strict=True))
            self._ends = np.minimum(self._ends[0], ends[0]), np.maximum(self._ends[1], ends[1])
        else:
            self._sums, self._ends = sums, ends
        self._count += len(array)

    def told(self) -> dict[str, Any]:
        mean = self._sums[0] / self._count
        deviation = np.sqrt(np.maximum(self._sums[1] / self._count - mean**2, 0))
        lowest, highest = self._ends
        numbers = {"min": lowest, "max": highest, "mean": mean, "std": deviation}
        return {name: values.tolist() for name, values in numbers.items()} | {"count": [self._count]}


def _type(feature: dict) -> pa.DataType:
    """A picture is a struct, one number a number, and an array lists within lists."""
    if feature["dtype"] == IMAGE:
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    kind = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
    if list(feature["shape"]) != [1]:
        for _ in feature["shape"]:
            kind = pa.list_(kind)
    return kind


def _nested(array: np.ndarray, kind: pa.DataType) -> pa.Array:
    """[N, ...] as a column of N cells."""
    kinds = []
    while pa.types.is_list(kind):
        kinds.append(kind)
        kind = kind.value_type
    column = pa.array(np.ascontiguousarray(array).reshape(-1), type=kind)
    for axis in reversed(range(len(kinds))):
        lists = math.prod(array.shape[: axis + 1])
        offsets = np.arange(lists + 1, dtype=np.int32) * array.shape[axis + 1]
        column = pa.ListArray.from_arrays(pa.array(offsets), column)
    return column


def _tasks_table(tasks: dict[str, int]) -> pa.Table:
    """With the words as pandas' index, which is where LeRobot looks for them."""
    table = pa.table({"task_index": pa.array(tasks.values(), pa.int64()), "task": pa.array(tasks.keys(), pa.string())})
    column = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    words = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    about = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": "task", "field_name": "task", **words},
        ],
        "pandas_version": "2.2.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(about)})
