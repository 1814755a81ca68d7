"""Where the frames of an episode lie in `data/` of a LeRobot dataset, and what is beside each."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

_BESIDE = ("frame_index", "timestamp", "task_index")


def episode_table(place: Path, file: Path | None, number: int, length: int, columns: tuple[str, ...]) -> pa.Table:
    """The rows of an episode in order, of the columns that there are; from the file that meta/ names if they are there.

    A dataset may have been put together of others and name the wrong file: then they are looked for in the others.

    Args:
        file: the one that meta/ names; None where that is not there.
        length: how many rows are listed.

    Raises:
        ValueError: where a file is damaged.
    """
    table = None if file is None else _rows(file, number, columns)
    if table is None or len(table) < length:
        others = [other for other in _files_by_episode(place).get(number, ()) if other != file]
        found = [_rows(other, number, columns) for other in others]
        parts = [part for part in (table, *found) if part is not None and len(part)]
        table = pa.concat_tables(parts) if parts else table
    if table is None:
        raise ValueError(f"no file of data/ has rows of episode_index {number}")
    return table.sort_by("frame_index") if "frame_index" in table.column_names else table


def is_in(file: Path | None, number: int) -> bool:
    """Whether a file has rows of an episode."""
    return file is not None and len(_rows(file, number, ())) > 0


def columns_of(file: Path | None) -> tuple[str, ...]:
    """The names of a file's columns; none where it is not there or damaged."""
    try:
        return () if file is None else tuple(pa.parquet.read_schema(file).names)
    except (pa.ArrowException, OSError):
        return ()


def missing_frames(table: pa.Table) -> str | None:
    """What is wrong with the numbers of an episode's frames; None where they count from one to the next."""
    if "frame_index" not in table.column_names:
        return None
    numbers = table["frame_index"].to_numpy()
    wrong = np.flatnonzero(np.diff(numbers) != 1)
    return f"frame_index goes from {numbers[wrong[0]]} to {numbers[wrong[0] + 1]}" if wrong.size else None


def _rows(file: Path, number: int, columns: tuple[str, ...]) -> pa.Table:
    try:
        there = pa.parquet.read_schema(file).names
        missing = [name for name in columns if name not in there and name not in _BESIDE]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        wanted = [name for name in ("episode_index", *columns) if name in there]
        return pa.parquet.read_table(file, columns=wanted, filters=[("episode_index", "=", number)])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{file} is damaged or not as it should be ({error})") from error


@lru_cache(4)
def _files_by_episode(place: Path) -> dict[int, list[Path]]:
    """Of all files of data/ that can be read."""
    found: dict[int, list[Path]] = {}
    for file in sorted((place / "data").rglob("*.parquet")):
        try:
            column = pa.parquet.read_table(file, columns=["episode_index"])["episode_index"]
        except (pa.ArrowException, OSError, KeyError, ValueError):
            continue
        for number in pa.compute.unique(column).to_pylist():
            found.setdefault(number, []).append(file)
    return found
