"""Arguments that several verbs of the command line share."""

import argparse
from pathlib import Path
from typing import Any

from trajforecast_model.files.paths import expanded


def add_machine(parser: argparse.ArgumentParser, dtype: str = "float32", device: str = "cpu") -> None:
    """Where the networks run and in which number format, with these defaults."""
    parser.add_argument("--device", default=device)
    parser.add_argument("--dtype", default=dtype, choices=["float32", "bfloat16"])


class ModeOptions:
    """Options that one mode of a verb reads and another does not. Without defaults, so that it shows which were given."""

    def __init__(self, parser: argparse.ArgumentParser, title: str):
        self._group = parser.add_argument_group(title)
        self._actions: list[argparse.Action] = []

    def add(self, name: str, **settings) -> None:
        """As `add_argument`."""
        self._actions.append(self._group.add_argument(name, default=argparse.SUPPRESS, **settings))

    def given(self, args: argparse.Namespace) -> dict[str, Any]:
        """The values of those that were given, by name."""
        return {action.dest: getattr(args, action.dest) for action in self._actions if hasattr(args, action.dest)}

    def refuse(self, args: argparse.Namespace, mode: str) -> None:
        """For another mode. Raises ValueError where one was given."""
        names = [action.option_strings[0] for action in self._actions if hasattr(args, action.dest)]
        if names:
            raise ValueError(f"{', '.join(names)}: {mode} would ignore this; leave it out")


def size(text: str) -> tuple[int, int]:
    """The type of an argument like 240x320: rows and columns."""
    rows, _, columns = text.partition("x")
    if not (rows.isdecimal() and columns.isdecimal()):
        raise argparse.ArgumentTypeError(f"expected rows and columns like 240x320, got {text!r}")
    return int(rows), int(columns)


def path(text: str) -> Path:
    """The type of an argument that names a file or a folder; a leading ~ is the home folder, as behind --out=."""
    try:
        return expanded(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def checkpoint(text: str) -> str:
    """The type of an argument that is a folder, a shipped name or a hub id."""
    return str(path(text)) if text.startswith("~") else text


def integers(text: str) -> list[int]:
    """The type of an argument like 0,1,2."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers like 0,1,2, got {text!r}") from None
