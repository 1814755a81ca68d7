"""`trajforecast simulate`: demos of LIBERO tasks by the scripted expert, several simulator processes at once.

The episodes of a task are those of the first seeds, from `seed` on, that the expert solves. They depend neither on the
number of workers nor on how often the run was interrupted. With several futures, each seed gives as many demos that
begin in the same state.
"""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from trajforecast_model.runtime.processes import RunJobs, run_in_processes
from trajforecast_model.sim.environment import Task, TaskEnvironment, find_task, turned_to
from trajforecast_model.sim.episode_files import EpisodeStore
from trajforecast_model.sim.mujoco_setup import configure_mujoco

MAX_ATTEMPTS_PER_EPISODE = 3


def simulate(
    suite: str,
    tasks: list[int],
    episodes: int,
    out: Path,
    seed: int = 0,
    workers: int = 1,
    images: bool = True,
    futures: int = 1,
    run: RunJobs | None = None,
) -> None:
    """Writes `out/<task>_demo.hdf5` for each task, with `episodes` times `futures` solved episodes each.

    Args:
        futures: demos of each beginning, which follow each other in the file; see sim/episode.py.
        images: also store both views at 128x128 and the robot's readings; without them `prepare` renders what it
            needs from the states.
        run: where the workers are; None for processes of this machine.

    Raises:
        ValueError: for a task that does not exist or that the expert cannot solve, a count below 1, files of other
            settings in `out`, or a simulator that is not installed.
    """
    if episodes < 1:
        raise ValueError(f"--episodes {episodes}: expected at least 1")
    if futures < 1:
        raise ValueError(f"--futures {futures}: expected at least 1")
    if workers < 1:
        raise ValueError(f"--workers {workers}: expected at least 1")
    if seed < 0:
        raise ValueError(f"--seed {seed}: expected 0 or more")
    configure_mujoco()
    found = [find_task(suite, number) for number in dict.fromkeys(tasks)]
    out.mkdir(parents=True, exist_ok=True)
    settings = {"suite": suite, "episodes": episodes, "seed": seed, "images": images}
    if futures > 1:  # files of a single future carry no such setting
        settings["futures"] = futures
    plans = [_TaskPlan(task, settings, out) for task in found]
    with tqdm(total=episodes * len(plans), unit="episode", desc=f"simulate {suite}") as progress:
        progress.update(sum(plan.solved() for plan in plans))
        _simulate_all(plans, workers, progress, run or run_in_processes)


@dataclass(frozen=True)
class EpisodeJob:
    """One seed to simulate and store."""

    task: Task
    settings: dict
    out: Path
    seed: int


class Simulator:
    """What runs in each process: simulates one seed a call and keeps the environment of the last task."""

    def __init__(self):
        self._environment: TaskEnvironment | None = None

    def __call__(self, job: EpisodeJob) -> bool:
        """Returns whether the task was solved."""
        # It imports mujoco, which needs configure_mujoco() first.
        configure_mujoco()
        from trajforecast_model.sim.episode import run_futures
        from trajforecast_model.sim.observation import Observer

        environment = turned_to(job.task, self._environment)
        if environment is not self._environment:
            self._environment = environment
            self._observe = Observer(self._environment) if job.settings["images"] else None
        records = run_futures(self._environment, job.seed, job.settings.get("futures", 1), self._observe)
        EpisodeStore(job.out, job.task, job.settings).add(self._environment, job.seed, records)
        return bool(records)


class _TaskPlan:
    """Which seeds of a task are still to be simulated, given those that are done and those under way."""

    def __init__(self, task: Task, settings: dict, out: Path):
        self.task = task
        self.store = EpisodeStore(out, task, settings)
        self.under_way: set[int] = set()
        self._settings = settings
        self._out = out
        self._outcome = {} if self.store.is_finished() else self.store.tried_seeds()

    def solved(self) -> int:
        wanted = self._settings["episodes"]
        return wanted if self.store.is_finished() else min(wanted, sum(self._outcome.values()))

    def next_job(self) -> EpisodeJob | None:
        """The next seed to simulate; None while the ones under way may be enough."""
        wanted, first = self._settings["episodes"], self._settings["seed"]
        if sum(self._outcome.values()) + len(self.under_way) >= wanted:
            return None
        seed = first
        while seed in self._outcome or seed in self.under_way:
            seed += 1
        if seed >= first + MAX_ATTEMPTS_PER_EPISODE * wanted:
            raise ValueError(
                f"{self.task.suite} task {self.task.number} ({self.task.instruction}): the scripted expert solved only "
                f"{sum(self._outcome.values())} of {len(self._outcome)} attempts; choose other tasks"
            )
        self.under_way.add(seed)
        return EpisodeJob(self.task, self._settings, self._out, seed)

    def record(self, seed: int, success: bool) -> None:
        self._outcome[seed] = success
        self.under_way.discard(seed)

    def finish_if_complete(self) -> None:
        solved = sorted(seed for seed, success in self._outcome.items() if success)
        if len(solved) >= self._settings["episodes"] and not self.under_way:
            self.store.finish(solved[: self._settings["episodes"]])


def _simulate_all(plans: list[_TaskPlan], workers: int, progress: tqdm, run: RunJobs) -> None:
    by_task = {plan.task: plan for plan in plans}
    for plan in plans:
        plan.store.start()
        if not plan.store.is_finished():
            plan.finish_if_complete()

    def next_job(previous: EpisodeJob | None) -> EpisodeJob | None:
        # The task whose environment the process has, then one that few work on: making an environment takes seconds.
        last = previous.task if previous else None
        for plan in sorted(plans, key=lambda plan: (plan.task != last, len(plan.under_way))):
            if not plan.store.is_finished() and (job := plan.next_job()):
                return job
        return None

    for job, success in run(Simulator, next_job, workers):
        plan = by_task[job.task]
        plan.record(job.seed, success)
        progress.update(success)
        plan.finish_if_complete()
