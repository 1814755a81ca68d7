"""Room on the disk: looked at before a large write, and told in one line where it ran out."""

import errno
import shutil
from pathlib import Path


class DiskFull(OSError):
    """Its one argument is what does not fit."""

    def __init__(self, what: str):
        super().__init__(what)
        self.errno = errno.ENOSPC

    def __str__(self) -> str:
        return f"{self.args[0]}. What is there is whole; free some space and start the same command again"


def is_full(error: BaseException) -> bool:
    """Whether the disk, or the user's share of it, was full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def check_room(path: Path, needed: float, what: str) -> None:
    """Raises DiskFull where fewer than `needed` bytes are free on the disk of `path`, which need not be there yet."""
    free = shutil.disk_usage(existing(path)).free
    if free < needed:
        raise DiskFull(f"the disk is full: {what} takes {_mebibytes(needed)}, {_mebibytes(free)} are free")


def _mebibytes(number: float) -> str:
    return f"{number / 2**20:.1f} MiB"
