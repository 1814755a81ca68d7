"""Arrow IPC files with one row a record batch: written whole or not at all, read through a memory map in any order."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

from trajforecast_model.files.atomic import replacing


def write_rows(
    path: Path, schema: pa.Schema, rows: Iterable[pa.RecordBatch], compression: str | pa.Codec | None = None
) -> None:
    """The file appears only when it is whole."""
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (
        replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, schema, options=options) as writer,
    ):
        for row in rows:
            writer.write_batch(row)


@lru_cache(maxsize=128)
def open_rows(path: Path, columns: tuple[int, ...] = ()) -> pa.ipc.RecordBatchFileReader:
    """Kept open; to be called within `naming_damage`, as is reading from it. `columns`: those to read, all if none."""
    # Loader processes share the cores already; PyArrow's own threads cost each of them a fifth more.
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=list(columns))
    return pa.ipc.open_file(pa.memory_map(str(path)), options=options)


@contextmanager
def naming_damage(what: str, remedy: str) -> Iterator[None]:
    """Raises ValueError with what is damaged, why, and what to do, where a file within cannot be read."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{what} ({error}); {remedy}") from error
