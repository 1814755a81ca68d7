"""How fast: the benches that docs/speed.md has figures of, the goals beside them, and profiles where a goal is missed.

bench.json is written anew after each step, the most telling first, so that what is done is kept whatever comes; what has to be
compiled, and may take minutes, comes last.
"""

import argparse
import contextlib
import gc
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch

from gpu_day.checkpoints import time_shipped, time_trajloom
from gpu_day.goals import Goal, judge, table
from gpu_day.kernels import profile_of
from gpu_day.scale import FULL, TOY, Scale
from gpu_day.toy import official_folder
from trajforecast_model.benchmarks.against_official import compare_with_official
from trajforecast_model.benchmarks.sizes import time_sizes
from trajforecast_model.benchmarks.training_step import compare_training
from trajforecast_model.files.atomic import write_atomically

SECONDS = 170  # no step begins after them

Step = tuple[str, Callable[[], dict]]  # its name, and what makes its report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    return bench(TOY if args.rehearse else FULL, official_folder(args.rehearse), args.out)


def bench(scale: Scale, official: Path | None, out: Path) -> int:
    """Exit code: 1 where a step failed; a missed goal is a result."""
    began = time.monotonic()
    result: dict[str, dict] = {"reports": {}, "goals": [], "profiles": {}, "seconds": {}, "failed": {}, "left_out": []}

    def take(steps: Iterable[Step]) -> list[Goal]:
        for name, step in steps:
            if time.monotonic() - began > SECONDS and scale is FULL:
                result["left_out"].append(name)
            else:
                with _timed(name, result):
                    result["reports"][name] = step()
            goals = judge(result["reports"])
            result["goals"] = [vars(goal) | {"is_met": goal.is_met} for goal in goals]
            _write(result, out)
        return goals

    goals = take(_telling_steps(scale, official))
    for what in dict.fromkeys(goal.profile for goal in goals if goal.is_met is False):
        with _timed(f"profile of {what}", result):
            result["profiles"][what] = profile_of(what, scale, official)
            print(result["profiles"][what])
        _write(result, out)
    print(table(goals))
    if later := list(_later_steps(scale)):
        print(table(take(later)))
    if result["left_out"]:
        print(f"left out, no time: {', '.join(result['left_out'])}")
    return 1 if result["failed"] else 0


def _telling_steps(scale: Scale, official: Path | None) -> Iterator[Step]:
    yield "sizes", lambda: _sizes(scale, scale.size, scale.evaluations, scale.runs)
    if official is None:
        print("the official code is not there: nn_latte.py and nn_latte_vae.py belong into OFFICIAL (docs/gpu_day.md)")
    else:
        yield "official", lambda: compare_with_official(
            official, size=scale.size, views=scale.views, k=scale.k, steps=scale.most_evaluations, runs=scale.pairs,
            depth=scale.depth, grid=scale.grid, device=scale.device, dtype=scale.dtype,
        )  # fmt: skip
        yield "training", lambda: _training(scale, official, graphs=False)
        if scale.graphs:  # apart, so that a recording that fails leaves the figures without it
            yield "training graphs", lambda: _training(scale, official, graphs=True)


def _later_steps(scale: Scale) -> Iterator[Step]:
    yield "shipped", partial(time_shipped, scale)
    yield "trajloom", partial(time_trajloom, scale)
    if scale.graphs:
        yield "sizes graphs", partial(_sizes, scale, scale.size, scale.few_evaluations, scale.other_runs, "graphs")
    for size in scale.other_sizes:
        yield f"sizes of {size}", partial(_sizes, scale, size, scale.few_evaluations, scale.other_runs)
    for mode in scale.compilers:
        yield f"sizes {mode}", partial(_sizes, scale, scale.size, scale.few_evaluations, scale.runs, mode)


def _sizes(scale: Scale, size: str, evaluations: tuple[int, ...], runs: int, mode: str | None = None) -> dict:
    return time_sizes(
        [size], list(evaluations), views=scale.views, k=scale.k, runs=runs, batch=scale.batch, depth=scale.depth,
        grid=scale.grid, compile=mode, device=scale.device, dtype=scale.dtype,
    )  # fmt: skip


def _training(scale: Scale, official: Path, graphs: bool) -> dict:
    return compare_training(
        official, size=scale.size, batch=scale.batch, runs=scale.training_pairs, depth=scale.depth, grid=scale.grid,
        graphs=graphs, device=scale.device, precision=scale.dtype,
    )  # fmt: skip


@contextlib.contextmanager
def _timed(name: str, result: dict) -> Iterator[None]:
    """Notes how long a step took and why it failed, and gives back the memory that it held."""
    began = time.monotonic()
    print(f"-- {name}")
    try:
        yield
    except Exception as error:  # the steps after it may still do
        result["failed"][name] = f"{type(error).__name__}: {error}"
        print(f"-- {name} failed: {result['failed'][name]}")
    result["seconds"][name] = round(time.monotonic() - began, 1)
    print(f"-- {name}: {result['seconds'][name]} s")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _write(result: dict, out: Path) -> None:
    write_atomically(out / "bench.json", (json.dumps(result, indent=2) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
