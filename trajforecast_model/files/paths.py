"""Paths as people write them: ~ where no shell has expanded it, and folders behind links."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def expanded(path: str | Path) -> Path:
    """With the home folder in place of a leading ~, which no shell expands behind = or in a config.

    Raises:
        ValueError: for the home of a user that there is not.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: {error}; write the folder out") from error


def all_expanded(values: Any) -> Any:
    """The settings of a config with ~ expanded: nothing but a path begins with it."""
    if isinstance(values, dict):
        return {key: all_expanded(value) for key, value in values.items()}
    if isinstance(values, list):
        return [all_expanded(value) for value in values]
    return str(expanded(values)) if isinstance(values, str) and values.startswith("~") else values


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in the folder and those within, linked ones too, each folder once; what is hidden is passed over.

    `simulate` keeps unfinished work in a hidden folder, and file systems keep their own beside files.
    """
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        visible = (name for name in folders if not name.startswith("."))
        folders[:] = sorted(visible, key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))
