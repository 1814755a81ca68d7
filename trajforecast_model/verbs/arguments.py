"""Arguments that several verbs of the command line share."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trajforecast_model.files.paths import expanded
from trajforecast_model.runtime.processes import RunJobs


def add_machine(parser: argparse.ArgumentParser, dtype: str = "float32", device: str = "cpu") -> None:
    """Where the networks run and in which number format, with these defaults."""
    parser.add_argument("--device", default=device)
    parser.add_argument("--dtype", default=dtype, choices=["float32", "bfloat16"])


def add_workers(parser: argparse.ArgumentParser, what: str) -> None:
    """How many processes do the jobs, and on which machines."""
    parser.add_argument("--workers", type=int, help=what)
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="do the jobs on a Ray cluster: auto (the one of RAY_ADDRESS, or that of this machine), HOST:PORT of its head "
        "node, or local (one of this machine, for this command); --workers is by default all cores of the cluster",
    )


@contextmanager
def workers_of(
    args: argparse.Namespace, out: Path, default: int | None = None, gpu: bool = False
) -> Iterator[tuple[RunJobs | None, int]]:
    """What runs the jobs, None for processes of this machine, and on how many workers at most.

    Args:
        out: where the workers write; on a cluster the same folder on every node.
        default: of this machine; None is a worker a core.
        gpu: each needs a GPU to itself, where it is one of a cluster.
    """
    if args.ray is None:
        yield None, (default or os.cpu_count() or 1) if args.workers is None else args.workers
        return
    from trajforecast_model.runtime.ray_jobs import jobs_on_ray

    with jobs_on_ray(args.ray, out, gpu) as run:
        yield run, sys.maxsize if args.workers is None else args.workers


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
