"""One owner for a folder at a time: a lock that the kernel lets go when its process ends, however that ends."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some network file systems have none
_held: set[int] = set()


def _let_go_in_a_fork() -> None:
    """Loader processes would keep the lock of a run that is gone for as long as they take to notice."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_a_fork)


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Holds the folder, which is made where it is missing.

    Raises:
        ValueError: where another process holds it, naming that one.
        OSError: where nothing can be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, folder)
        _held.add(descriptor)
        yield
    finally:
        _held.discard(descriptor)
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
        raise ValueError(
            f"{folder} is in use by {owner}; wait until that one has ended, end it, or choose another folder"
        ) from None
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
