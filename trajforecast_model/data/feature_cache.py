"""Image tokens of a frozen encoder on disk, so that training runs the encoder once an image and not once an epoch.

FOLDER/{train,val}/<shard>.arrow has a row for each row of the shard of that name, float16 and uncompressed, read through
a memory map. It tells whose tokens these are and of which shard: those of another encoder or other data are refused.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch.utils.data import Dataset

from trajforecast_model.data.arrow_files import naming_damage, open_rows, write_rows
from trajforecast_model.data.shards import ShardDataset, Window, fingerprint, read_images

IMAGES_AT_ONCE = 64
FORMAT_VERSION = 1

Encode = Callable[[np.ndarray], np.ndarray]  # uint8 [N, H, W, 3] -> [N, M, D]


class FeatureCache:
    def __init__(self, folder: str | Path, encoder: dict[str, Any]):
        """`encoder` tells one encoder from another; plain values, as they come back from JSON."""
        self.folder, self._encoder = Path(folder), encoder

    def fill(self, shards: Iterable[Path], encode: Encode) -> None:
        """Encodes the images of those shards that are not in the folder yet. May be killed, and go on later.

        Raises:
            ValueError: for tokens of another encoder or other data, and for tokens that float16 does not hold.
        """
        for shard in shards:
            if not self.holds(shard):
                self._write(shard, encode)

    def holds(self, shard: Path) -> bool:
        """Raises ValueError where the folder has tokens for this shard that are not this encoder's, or not of its images."""
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
                f"{path} holds the features of another image encoder or of other data ({'; '.join(differences)}); "
                "choose another data.feature_cache, or delete that folder"
            )
        return True

    def read(self, shard: Path, row: int) -> np.ndarray:
        """float16 [M, D], a view of the file."""
        path = self._path(shard)
        with _naming_damage(path):
            reader = open_rows(path)
            tokens = reader.get_batch(row).column(0).buffers()[1]
        return np.frombuffer(tokens, np.float16).reshape(json.loads(reader.schema.metadata[b"shape"]))

    def _write(self, shard: Path, encode: Encode) -> None:
        images = read_images(shard)
        parts = [images[start : start + IMAGES_AT_ONCE] for start in range(0, len(images), IMAGES_AT_ONCE)]
        with np.errstate(over="ignore"):  # asked about below
            tokens = np.concatenate([encode(part).astype(np.float16) for part in parts])  # [N, M, D]
        if not np.isfinite(tokens).all():
            raise ValueError(
                f"the image encoder's features of {shard} are not finite in float16; set data.feature_cache to null, so "
                "that they are computed in every step"
            )
        shape = tokens.shape[1:]
        schema = pa.schema(
            [pa.field("image_tokens", pa.binary(tokens[0].nbytes))],
            metadata={"shape": json.dumps(shape), "made_from": json.dumps(self._made_from(shard))},
        )
        rows = (pa.record_batch([pa.array([row.tobytes()], schema.field(0).type)], schema=schema) for row in tokens)
        write_rows(self._path(shard), schema, rows)

    def _made_from(self, shard: Path) -> dict[str, Any]:
        return self._encoder | {"shard": fingerprint(shard), "format_version": FORMAT_VERSION}

    def _path(self, shard: Path) -> Path:
        return self.folder / shard.parent.name / shard.name


class WindowsWithFeatures(Dataset):
    """The windows of a ShardDataset with their image tokens."""

    def __init__(self, windows: ShardDataset, cache: FeatureCache):
        self._windows, self._cache = windows, cache

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> Window:
        return replace(self._windows[index], image_tokens=self._cache.read(*self._windows.place(index)))


def _naming_damage(path: Path) -> AbstractContextManager[None]:
    return naming_damage(f"{path} is damaged", "delete it, and the next run makes it again")
