"""How often the scripted expert solves a task: tried from the first seeds on, counted, and none of it kept as demos."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajforecast_model.runtime.processes import RunJobs, run_in_processes
from trajforecast_model.sim.environment import Task, TaskEnvironment, find_task, turned_to
from trajforecast_model.sim.mujoco_setup import configure_mujoco

FILE_NAME = "successes.csv"
_COLUMNS = ("suite", "task", "seed", "steps", "instruction")


def count_successes(
    suite: str, tasks: list[int], attempts: int, out: Path, seed: int, workers: int, run: RunJobs | None
) -> Iterator[tuple[Task, int, int]]:
    """Yields each task with how many of `attempts` were solved and how many were made, once all are made.

    Every attempt is a line of `out/successes.csv`: its steps, 0 where it failed. Those that stand there are not made
    again.
    """
    found = [find_task(suite, number) for number in dict.fromkeys(tasks)]
    out.mkdir(parents=True, exist_ok=True)
    file = out / FILE_NAME
    steps = _read(file)
    seeds = range(seed, seed + attempts)
    waiting = [Attempt(task, number) for task in found for number in seeds if (suite, task.number, number) not in steps]

    def next_job(previous: Attempt | None) -> Attempt | None:
        return waiting.pop(0) if waiting else None

    with file.open("a", newline="") as lines:
        write = csv.writer(lines).writerow
        if not steps:
            write(_COLUMNS)
        for attempt, taken in (run or run_in_processes)(Expert, next_job, workers):
            task = attempt.task
            steps[suite, task.number, attempt.seed] = taken
            write([suite, task.number, attempt.seed, taken, task.instruction])
            lines.flush()
    for task in found:
        made = [steps[suite, task.number, number] for number in seeds]
        yield task, sum(taken > 0 for taken in made), len(made)


@dataclass(frozen=True)
class Attempt:
    """A task to try from the beginning that a seed gives."""

    task: Task
    seed: int


class Expert:
    """What runs in each process; it keeps the scene of its last task."""

    def __init__(self):
        self._environment: TaskEnvironment | None = None

    def __call__(self, attempt: Attempt) -> int:
        """The actions that it took; 0 if the task was not solved."""
        # It imports mujoco, which needs configure_mujoco() first.
        configure_mujoco()
        from trajforecast_model.sim.episode import run_futures

        self._environment = turned_to(attempt.task, self._environment)
        try:
            records = run_futures(self._environment, attempt.seed, futures=1)
        except ValueError:  # no skill for what the task asks for, or not for this thing
            return 0
        return len(records[0].actions) if records else 0


def _read(file: Path) -> dict[tuple[str, int, int], int]:
    if not file.exists():
        return {}
    with file.open(newline="") as lines:
        return {(row["suite"], int(row["task"]), int(row["seed"])): int(row["steps"]) for row in csv.DictReader(lines)}
