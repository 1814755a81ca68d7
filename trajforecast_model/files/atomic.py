"""Files and folders that are whole or not there: written beside their place, then renamed."""

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trajforecast_model.files.disk import DiskFull, is_full


def write_atomically(path: Path, data: bytes) -> None:
    """Writes beside `path`, flushes to disk, then renames: readers see the old file or the new one, whole."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write instead: it takes its place when the block ends well, and is gone otherwise.

    Raises:
        DiskFull: naming `path`.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if not is_full(error) or isinstance(error, DiskFull):
            raise
        raise DiskFull(f"the disk is full: {path} could not be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` to fill instead: it gets that name when the block ends well, and is gone otherwise.

    Raises:
        ValueError: where `path` exists and is no empty folder, before the block.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ValueError(f"{path} exists; give --out a new folder")
    temporary = temporary_beside(path)
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def remove_leftovers(files: Iterable[Path]) -> None:
    """Removes what killed runs left of these files. Files beside them may be in other processes' hands."""
    files = set(files)
    for folder in {file.parent for file in files}:
        for left in folder.glob(".*.tmp"):
            name = left.name[1:].rsplit(".", 2)[0]  # .<name>.<unique>.tmp, see temporary_beside
            if folder / name in files:
                left.unlink(missing_ok=True)
