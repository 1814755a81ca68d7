"""What frozen networks make of the windows, on disk, so that training runs them once a window and not once an epoch.

FOLDER/{train,val}/<shard>.arrow has a row for each row of the shard of that name, read through a memory map;
numbers in float16, truth values as bits. It tells which networks made it, and of which shard: what others made, or of
other data, is refused.
"""

import json
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch.utils.data import Dataset

from trajforecast_model.data.shards import ShardDataset, Window, fingerprint
from trajforecast_model.files.arrow_files import naming_damage, open_rows, write_rows
from trajforecast_model.files.disk import check_room
from trajforecast_model.files.outputs import ready_folder

FORMAT_VERSION = 2

Features = dict[str, np.ndarray]  # by their names in Window


class FeatureCache:
    def __init__(
        self, folder: str | Path, key: str, content: str, networks: dict[str, Any], compression: pa.Codec | None = None
    ):
        """
        Args:
            key, content: the config's key and what is kept, for messages.
            networks: tells the networks from others; plain values, as they come back from JSON.
            compression: of what is written; what is read may be compressed or not.
        """
        self.folder, self.key, self.content = Path(folder), key, content
        self._networks, self._compression = networks, compression

    def check_room(self, rows_of_shard: dict[Path, int], row_bytes: int) -> None:
        """Raises ValueError or OSError where what the folder lacks of these shards cannot be written or does not fit."""
        ready_folder(self.key, self.folder)
        rows = sum(rows for shard, rows in rows_of_shard.items() if not self.holds(shard))
        check_room(self.folder, rows * row_bytes, f"{self.key} for {rows} windows in {self.folder}")

    def fill(self, shards: Iterable[Path], make: Callable[[Path], Features]) -> None:
        """Writes those shards that are not in the folder yet. May be killed, and go on later.

        Args:
            make: gives the features of all rows of a shard, [N, ...] each.

        Raises:
            ValueError: for what other networks made, or of other data, and for numbers that float16 does not hold.
        """
        for shard in shards:
            if not self.holds(shard):
                self._write(shard, make(shard))

    def holds(self, shard: Path) -> bool:
        """Raises ValueError where the folder has a file for this shard that other networks made, or of other windows."""
        path = self._path(shard)
        if not path.exists():
            return False
        with _naming_damage(path):
            made_from = json.loads(open_rows(path).schema.metadata[b"made_from"])
        wanted = self._made_from(shard)
        differences = [
            f"{name} {made_from.get(name)!r} there, {wanted.get(name)!r} here"
            for name in sorted(made_from.keys() | wanted.keys())
            if made_from.get(name) != wanted.get(name)
        ]
        if differences:
            raise ValueError(
                f"{path} holds {self.content} of another network or of other data ({'; '.join(differences)}); choose "
                f"another {self.key}, or delete that folder"
            )
        return True

    def read(self, shard: Path, row: int) -> Features:
        """The arrays are views of the file, but for truth values."""
        path = self._path(shard)
        with _naming_damage(path):
            reader = open_rows(path)
            columns = reader.get_batch(row).columns
            layout = json.loads(reader.schema.metadata[b"layout"])
        return {
            name: _unpacked(column.buffers()[1], shape, kind)
            for column, (name, shape, kind) in zip(columns, layout, strict=True)
        }

    def _write(self, shard: Path, features: Features) -> None:
        with np.errstate(over="ignore"):  # asked about below
            features = {name: _stored(array) for name, array in features.items()}
        if not all(np.isfinite(array).all() for array in features.values()):
            raise ValueError(
                f"{self.content} of {shard} are not finite in float16; set {self.key} to null, so that they are "
                "computed in every step"
            )
        layout = [(name, array.shape[1:], array.dtype.kind) for name, array in features.items()]
        columns = {name: [_packed(row) for row in array] for name, array in features.items()}
        schema = pa.schema(
            [pa.field(name, pa.binary(len(rows[0]))) for name, rows in columns.items()],
            metadata={"layout": json.dumps(layout), "made_from": json.dumps(self._made_from(shard))},
        )
        rows = (
            pa.record_batch([[part] for part in parts], schema=schema) for parts in zip(*columns.values(), strict=True)
        )
        write_rows(self._path(shard), schema, rows, self._compression)

    def _made_from(self, shard: Path) -> dict[str, Any]:
        return self._networks | {"shard": fingerprint(shard), "format_version": FORMAT_VERSION}

    def _path(self, shard: Path) -> Path:
        return self.folder / shard.parent.name / shard.name


class WindowsWithFeatures(Dataset):
    """The windows of a ShardDataset with what the caches have for them."""

    def __init__(self, windows: ShardDataset, caches: list[FeatureCache]):
        self._windows, self._caches = windows, caches
        self.rows = windows.rows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Window:
        window = self._windows[index]
        for cache in self._caches:
            window = replace(window, **cache.read(*self._windows.place(index)))
        return window


def _stored(array: np.ndarray) -> np.ndarray:
    return array if array.dtype == bool else array.astype(np.float16)


def _packed(row: np.ndarray) -> bytes:
    return (np.packbits(row) if row.dtype == bool else row).tobytes()


def _unpacked(buffer: pa.Buffer, shape: list[int], kind: str) -> np.ndarray:
    if kind == "b":
        return np.unpackbits(np.frombuffer(buffer, np.uint8), count=math.prod(shape)).reshape(shape).astype(bool)
    return np.frombuffer(buffer, np.float16).reshape(shape)


def _naming_damage(path: Path) -> AbstractContextManager[None]:
    return naming_damage(f"{path} is damaged", "delete it, and the next run makes it again")
