"""Short names of several files or folders, for tables and reports."""

from collections.abc import Callable, Sequence
from pathlib import Path


def distinct_names(paths: Sequence[str | Path], shortest: Callable[[Path], str]) -> list[str]:
    """`shortest` of each path if these differ, else as many last parts of every path as tell them all apart."""
    paths = [Path(path) for path in paths]
    names = [shortest(path) for path in paths]
    for number in range(2, max(len(path.parts) for path in paths) + 1):
        if len(set(names)) == len(set(paths)):
            break
        names = [str(Path(*path.parts[-number:])) for path in paths]
    return names
