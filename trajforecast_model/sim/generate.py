"""`trajforecast simulate`: demos of LIBERO tasks by the scripted expert, several simulator processes at once.

The episodes of a task are those of the first seeds, from `seed` on, that the expert solves. They depend neither on the
number of workers nor on how often the run was interrupted.
"""

import multiprocessing
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tqdm import tqdm

from trajforecast_model.sim.environment import Task, TaskEnvironment, find_task
from trajforecast_model.sim.episode_files import EpisodeStore
from trajforecast_model.sim.mujoco_setup import configure_mujoco

MAX_ATTEMPTS_PER_EPISODE = 3


def simulate(
    suite: str, tasks: list[int], episodes: int, out: Path, seed: int = 0, workers: int = 1, images: bool = True
) -> None:
    """Writes `out/<task>_demo.hdf5` for each task, with `episodes` solved episodes each.

    Args:
        images: also store both views at 128x128; without them `prepare` renders what it needs from the states.

    Raises:
        ValueError: for a task that does not exist or that the expert cannot solve, a count below 1, files of other
            settings in `out`, or a simulator that is not installed.
    """
    if episodes < 1:
        raise ValueError(f"--episodes {episodes}: expected at least 1")
    if workers < 1:
        raise ValueError(f"--workers {workers}: expected at least 1")
    if seed < 0:
        raise ValueError(f"--seed {seed}: expected 0 or more")
    configure_mujoco()
    out.mkdir(parents=True, exist_ok=True)
    settings = {"suite": suite, "episodes": episodes, "seed": seed, "images": images}
    jobs = [_TaskJob(task, settings, out) for task in (find_task(suite, number) for number in dict.fromkeys(tasks))]
    with tqdm(total=episodes * len(jobs), unit="episode", desc=f"simulate {suite}") as progress:
        progress.update(sum(job.solved() for job in jobs))
        _run([job for job in jobs if not job.store.is_finished()], min(workers, episodes * len(jobs)), progress)


class _TaskJob:
    """Which seeds of a task are still to be simulated, given those that are done and those under way."""

    def __init__(self, task: Task, settings: dict, out: Path):
        self.task = task
        self.settings = settings
        self.out = out
        self.store = EpisodeStore(out, task, settings)
        self.episodes = settings["episodes"]
        self.outcome = {} if self.store.is_finished() else self.store.tried_seeds()
        self.under_way: set[int] = set()

    def solved(self) -> int:
        return self.episodes if self.store.is_finished() else min(self.episodes, sum(self.outcome.values()))

    def next_seed(self) -> int | None:
        """The next seed to simulate; None when the ones under way may already be enough."""
        expected = sum(self.outcome.values()) + len(self.under_way)
        if expected >= self.episodes:
            return None
        seed = self.settings["seed"]
        while seed in self.outcome or seed in self.under_way:
            seed += 1
        if seed >= self.settings["seed"] + MAX_ATTEMPTS_PER_EPISODE * self.episodes:
            raise ValueError(
                f"{self.task.suite} task {self.task.number} ({self.task.instruction}): the scripted expert solved only "
                f"{sum(self.outcome.values())} of {len(self.outcome)} attempts; choose other tasks"
            )
        return seed

    def finish_if_complete(self) -> None:
        solved = sorted(seed for seed, success in self.outcome.items() if success)
        if len(solved) >= self.episodes and not self.under_way:
            self.store.finish(solved[: self.episodes])


def _run(jobs: list[_TaskJob], workers: int, progress: tqdm) -> None:
    """Hands seeds to the workers until every job is complete."""
    for job in jobs:
        job.store.start()
        job.finish_if_complete()
    jobs = [job for job in jobs if not job.store.is_finished()]
    # Spawned, not forked: a forked copy of an initialised simulator is not safe to use.
    context = multiprocessing.get_context("spawn")
    pool = [_Worker(context) for _ in range(workers if jobs else 0)]
    try:
        for worker in pool:
            _give_work(worker, jobs, pool)
        while busy := {worker.connection: worker for worker in pool if worker.job is not None}:
            for connection in wait(busy):
                worker = busy[connection]
                job, seed, success = worker.receive()
                job.outcome[seed] = success
                job.under_way.remove(seed)
                progress.update(success)
                job.finish_if_complete()
            for worker in pool:
                if worker.job is None:
                    _give_work(worker, jobs, pool)
    finally:
        for worker in pool:
            worker.stop()


def _give_work(worker: "_Worker", jobs: list[_TaskJob], pool: list["_Worker"]) -> None:
    """Prefers the task whose environment the worker has, then one that nobody works on: making one takes seconds."""

    def workers_on(job: _TaskJob) -> int:
        return sum(other.last_job is job for other in pool)

    for job in sorted(jobs, key=lambda job: (job is not worker.last_job, workers_on(job))):
        seed = job.next_seed()
        if seed is not None:
            job.under_way.add(seed)
            worker.send(job, seed)
            return


class _Worker:
    """A simulator process and the episode it is working on."""

    def __init__(self, context):
        self.connection, other_end = context.Pipe()
        self.job: _TaskJob | None = None
        self.last_job: _TaskJob | None = None
        # A daemon ends with the program, however that ends.
        self._process = context.Process(target=_simulator_process, args=(other_end,), daemon=True)
        self._process.start()
        other_end.close()

    def send(self, job: _TaskJob, seed: int) -> None:
        self.job = self.last_job = job
        self._seed = seed
        self.connection.send((job.task, job.settings, job.out, seed))

    def receive(self) -> tuple[_TaskJob, int, bool]:
        try:
            answer = self.connection.recv()
        except EOFError:
            self._process.join()
            raise OSError(
                f"a simulator process died (exit code {self._process.exitcode}) at seed {self._seed} of "
                f"{self.job.task.name}; fewer --workers need less memory; the same command continues"
            ) from None
        if isinstance(answer, Exception):
            raise answer
        job, self.job = self.job, None
        return job, self._seed, answer

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        self.connection.close()


def _simulator_process(connection: Connection) -> None:
    environment = None
    while True:
        try:
            task, settings, out, seed = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            if environment is None or environment.task != task:
                if environment is not None:
                    environment.close()
                environment = TaskEnvironment(task)
            connection.send(_simulate_episode(environment, settings, out, seed))
        except (ValueError, OSError) as error:
            connection.send(error)
        except KeyboardInterrupt:
            return


def _simulate_episode(environment: TaskEnvironment, settings: dict, out: Path, seed: int) -> bool:
    # Imports mujoco, which needs configure_mujoco() first.
    from trajforecast_model.sim.episode import run_episode

    record = run_episode(environment, seed)
    EpisodeStore(out, environment.task, settings).add(environment, seed, record)
    return record is not None
