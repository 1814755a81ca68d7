"""Room on the disk: looked at before a large write, and told in one line where it ran out."""

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path

_ENOUGH_TO_JUDGE = 8  # files


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


class RoomForTheRest:
    """Whether files of many come to fit on the disk, judged by those that are there.

    Args:
        folder: where they are written; it need not be there yet.
        there, to_come: files that are written, and how many there will be beside them.
    """

    def __init__(self, folder: Path, there: Iterable[Path], to_come: int):
        self._folder, self._to_come = folder, to_come
        sizes = [file.stat().st_size for file in there]
        self._count, self._bytes = len(sizes), sum(sizes)

    def look(self) -> None:
        """Raises DiskFull where those to come clearly do not fit: files differ in size, so twice the room is granted."""
        if self._count >= _ENOUGH_TO_JUDGE:
            needed = self._to_come * self._bytes / self._count
            check_room(self._folder, needed / 2, f"what is still to be written in {self._folder}")

    def written(self, file: Path) -> None:
        """One more is there, if it is: not every job makes one. Raises DiskFull as `look`."""
        self._to_come -= 1
        if file.exists():
            self._count, self._bytes = self._count + 1, self._bytes + file.stat().st_size
        self.look()


def _mebibytes(number: float) -> str:
    return f"{number / 2**20:.1f} MiB"
