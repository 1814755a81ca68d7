"""`trajforecast rollout`: episodes of tasks x resets in several processes, one JSON report.

The report is written anew after each episode, so a run that was stopped goes on where it was. An episode depends on its
task and seed alone, neither on the number of processes nor on what was simulated before.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from trajforecast_model.checkpoint import checkpoint_name, export_within, weights_digest
from trajforecast_model.evaluation.rollouts.report import Episode, figures, paired, paired_line, table
from trajforecast_model.files.atomic import remove_leftovers, write_atomically
from trajforecast_model.files.json_files import read_object
from trajforecast_model.files.owner import owning
from trajforecast_model.policy.checkpoint import (
    ExecutionConfig,
    ForecastingConfig,
    PolicyConfig,
    forecaster_digest,
    load_policy,
)
from trajforecast_model.runtime.processes import run_in_processes
from trajforecast_model.sim.environment import Task, TaskEnvironment, find_task
from trajforecast_model.sim.mujoco_setup import configure_mujoco
from trajforecast_model.sim.perturbations import perturbed

EXPERT, FOLLOWER = "expert", "follower"
# What the follower does unless it is told otherwise.
_FOLLOWER_FORECASTER = "libero_object_tiny_2step"
_FOLLOWER_EVERY, _FOLLOWER_SAMPLES = 4, 4


@dataclass(frozen=True)
class RolloutSettings:
    """policy: a checkpoint's folder, a shipped one's name, "expert" or "follower". What is None is as the policy has it."""

    policy: str
    suite: str = "libero_object"
    tasks: tuple[int, ...] = ()
    resets: int = 20
    seed: int = 100_000  # of each task's first scene, unseen in training
    horizon: int = 300  # control steps, 20 a second
    swapped: bool = False  # tells the policy of another episode's forecasts
    every: int | None = None
    blend: float | None = None
    samples: int | None = None  # k of a forecast
    steps: int | None = None  # network evaluations of a forecast
    forecaster: str | None = None  # of the follower; a trained policy brings its own
    perturb: str | None = None  # a name of PERTURBATIONS: what is otherwise than in training

    @property
    def changes(self) -> dict[str, Any]:
        """What is not as the policy has it."""
        named = {name: getattr(self, name) for name in ("every", "blend", "samples", "steps")}
        return {name: value for name, value in named.items() if value is not None}

    def __post_init__(self):
        for name, least in (("resets", 1), ("seed", 0), ("horizon", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} {getattr(self, name)}: expected at least {least}")


@dataclass(frozen=True)
class EpisodeJob:
    task: Task
    seed: int
    film: Path | None


def rollout(
    settings: RolloutSettings,
    out: Path,
    workers: int = 1,
    films: tuple[tuple[int, int], ...] = (),
    against: Path | None = None,
) -> dict[str, Any]:
    """Runs what the report at `out` lacks, and returns it.

    Args:
        films: (task, seed) of episodes that are filmed, beside the report.
        against: the report of another policy on the same scenes, for a paired comparison.

    Raises:
        ValueError: for a task or a policy that there is not, a report of other settings at `out` or one that another run
            writes, or a missing simulator.
    """
    if workers < 1:
        raise ValueError(f"--workers {workers}: expected at least 1")
    configure_mujoco()
    tasks = [find_task(settings.suite, number) for number in dict.fromkeys(settings.tasks)]
    if settings.perturb is not None:
        tasks = [perturbed(task, settings.perturb) for task in tasks]
    if not tasks:
        raise ValueError(f"--tasks is empty: say which tasks of {settings.suite}, e.g. --tasks 0,1,2")
    told = _told_settings(settings)
    other = None if against is None else _report_at(against)
    with _owned(out):
        episodes = _episodes_of(out, told)
        jobs = _jobs(settings, tasks, episodes, out, films)
        remove_leftovers([out, *(job.film for job in jobs if job.film is not None)])
        report = _complete(out, told, episodes, jobs, settings, workers, len(tasks) * settings.resets)
        print(table(report))
        if other is not None:
            report["against"] = {"report": against.name} | paired(report["episodes"], other["episodes"])
            write_atomically(out, (json.dumps(report, indent=1) + "\n").encode())
            print(paired_line(report["against"], against.name))
    return report


def _complete(
    out: Path,
    told: dict[str, Any],
    episodes: list[Episode],
    jobs: list[EpisodeJob],
    settings: RolloutSettings,
    workers: int,
    total: int,
) -> dict[str, Any]:
    """Does the jobs, and writes the report after each."""
    with tqdm(total=total, initial=total - len(jobs), unit="episode", desc=f"rollout {settings.suite}") as progress:
        for job, result in run_in_processes(partial(RolloutWorker, settings), partial(_next_job, jobs), workers):
            scene = (job.task.name, job.seed)
            episodes = [known for known in episodes if (known["task"], known["seed"]) != scene]
            episodes.append({"task": job.task.name, "seed": job.seed, **result})
            episodes.sort(key=lambda episode: (episode["task"], episode["seed"]))
            _write(out, told, episodes, total)
            progress.update()
            progress.set_postfix_str(f"{sum(episode['success'] for episode in episodes)} solved")
    return _write(out, told, episodes, total)


@contextmanager
def _owned(out: Path) -> Iterator[None]:
    """No other run may write this report meanwhile. Raises ValueError where one does."""
    lock = out.with_name(f".{out.name}.owner")
    with owning(lock):
        try:
            yield
        finally:
            shutil.rmtree(lock, ignore_errors=True)


class RolloutWorker:
    """What runs in each process: one episode a call. It keeps the policy, and the environment of the last task."""

    def __init__(self, settings: RolloutSettings):
        configure_mujoco()
        import torch

        from trajforecast_model.policy.policy import Policy

        torch.set_num_threads(1)  # a process a core
        self._settings = settings
        self._policy = self._forecaster = None
        from trajforecast_model.forecaster import Forecaster

        if settings.policy == FOLLOWER:
            self._forecaster = Forecaster.of_pictures(settings.forecaster or _FOLLOWER_FORECASTER)
        elif settings.policy != EXPERT:
            config, network = load_policy(settings.policy)
            self._policy = Policy(_as_executed(config, settings), network, Forecaster.of_pictures(config.forecaster))
        self._environment: TaskEnvironment | None = None

    def __call__(self, job: EpisodeJob) -> dict[str, Any]:
        from trajforecast_model.evaluation.rollouts.actors import ExpertActor, FollowerActor, PolicyActor
        from trajforecast_model.evaluation.rollouts.episode import roll_out
        from trajforecast_model.evaluation.rollouts.film import filming
        from trajforecast_model.sim.scene.live_view import LiveView

        if self._environment is None or self._environment.task != job.task:
            if self._environment is not None:
                self._view.close()
                self._environment.close()
            self._environment = TaskEnvironment(job.task)
            self._view = LiveView(self._environment)
        environment, view, settings = self._environment, self._view, self._settings
        if self._forecaster is not None:
            every, samples = settings.every or _FOLLOWER_EVERY, settings.samples or _FOLLOWER_SAMPLES
            actor = FollowerActor(self._forecaster, environment, view, every, samples, settings.steps)
        elif self._policy is None:
            actor = ExpertActor(environment)
        else:
            swapped = settings.swapped or self._policy.config.tracks == "swapped"
            actor = PolicyActor(self._policy, environment, view, swapped)
        if job.film is None:
            return asdict(roll_out(environment, actor, job.seed, settings.horizon))
        with filming(job.film, view) as take:
            return asdict(roll_out(environment, actor, job.seed, settings.horizon, take))


def _as_executed(config: PolicyConfig, settings: RolloutSettings) -> PolicyConfig:
    """Raises ValueError for what the policy cannot do."""
    if config.tracks == "exact":
        raise ValueError(
            f"{settings.policy} was trained on exact tracks, which a rollout does not know: its validation error in training "
            "is what can be measured"
        )
    if settings.swapped and config.tracks == "none":
        raise ValueError("--swapped: this policy is told of no tracks; leave it out")
    changes = settings.changes
    if config.tracks == "none" and (unread := changes.keys() & {"samples", "steps"}):
        raise ValueError(f"--{min(unread)}: this policy is told of no tracks; leave it out")
    if settings.every is not None and not 1 <= settings.every <= config.network.chunk:
        raise ValueError(f"--every {settings.every}: expected 1 to {config.network.chunk}, the actions of a chunk")
    return replace(
        config, execution=_changed(config.execution, changes), forecasting=_changed(config.forecasting, changes)
    )


def _changed(group: ExecutionConfig | ForecastingConfig, changes: dict[str, Any]):
    return replace(group, **{name: value for name, value in changes.items() if hasattr(group, name)})


def _told_settings(settings: RolloutSettings) -> dict[str, Any]:
    """What makes a report this one and no other, in the report; more tasks and resets may be added to it."""
    told = {name: value for name, value in asdict(settings).items() if name not in ("tasks", "resets", "seed")}
    if settings.policy == EXPERT:
        if settings.swapped or settings.changes or settings.forecaster is not None:
            raise ValueError(
                "--swapped, --every, --blend, --samples, --steps and --forecaster: the expert would ignore them; leave "
                "them out"
            )
        return told
    if settings.policy == FOLLOWER:
        return told | _of_follower(settings)
    if settings.forecaster is not None:
        raise ValueError("--forecaster: a trained policy brings its own; leave it out")
    config, network = load_policy(settings.policy)
    executed = _as_executed(config, settings)
    return told | {
        "policy": str(checkpoint_name(export_within(settings.policy))),
        "weights": weights_digest(network),
        "tracks": "swapped" if settings.swapped else config.tracks,
        "forecaster": config.forecaster,
        **asdict(executed.execution),
        **({} if config.tracks == "none" else asdict(executed.forecasting)),
    }


def _of_follower(settings: RolloutSettings) -> dict[str, Any]:
    """What its report tells of it. Raises ValueError for what it cannot do."""
    if settings.swapped or settings.blend is not None:
        raise ValueError("--swapped and --blend: the follower would ignore them; leave them out")
    from trajforecast_model.forecaster import Forecaster
    from trajforecast_model.policy.follower import LOOKAHEAD

    source = settings.forecaster or _FOLLOWER_FORECASTER
    forecaster = Forecaster.of_pictures(source)
    every = _FOLLOWER_EVERY if settings.every is None else settings.every
    ForecastingConfig(settings.samples if settings.samples is not None else _FOLLOWER_SAMPLES, settings.steps)
    last = forecaster.config.num_frames - 1 - LOOKAHEAD
    if not 1 <= every <= last + 1:
        raise ValueError(f"--every {every}: expected 1 to {last + 1}, as far as the follower looks ahead in a forecast")
    return {
        "forecaster": source,
        "weights": forecaster_digest(forecaster, with_tracks=True),
        "every": every,
        "samples": settings.samples or _FOLLOWER_SAMPLES,
        "steps": settings.steps,
    }


def _episodes_of(out: Path, told: dict[str, Any]) -> list[Episode]:
    """Those that the report at `out` has. Raises ValueError where it is of other settings."""
    if not out.exists():
        return []
    report = _report_at(out)
    differences = [
        f"{name} {report['settings'].get(name)!r} there, {value!r} here"
        for name, value in told.items()
        if report["settings"].get(name) != value
    ]
    if differences:
        raise ValueError(f"{out} is a report of other rollouts ({'; '.join(differences)}); choose another --out")
    return report["episodes"]


def _report_at(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"report {path} does not exist")
    report = read_object(path, "delete it, and the same command makes it again")
    if not {"settings", "episodes"} <= report.keys():
        raise ValueError(f"{path} is not a report of `trajforecast rollout`")
    return report


def _jobs(
    settings: RolloutSettings, tasks: list[Task], episodes: list[Episode], out: Path, films: tuple[tuple[int, int], ...]
) -> list[EpisodeJob]:
    """What is still to be done; a filmed episode whose film is missing is done again."""
    scenes = {(task.number, settings.seed + reset): task for task in tasks for reset in range(settings.resets)}
    if unknown := [film for film in films if film not in scenes]:
        task, seed = unknown[0]
        raise ValueError(f"--film {task}:{seed}: this episode is not among those that are rolled out")
    done = {(episode["task"], episode["seed"]) for episode in episodes}
    jobs = []
    for (number, seed), task in scenes.items():
        film = out.with_name(f"{out.stem}_{number}_{seed}.mp4") if (number, seed) in films else None
        if (task.name, seed) not in done or (film is not None and not film.exists()):
            jobs.append(EpisodeJob(task, seed, film))
    return jobs


def _next_job(jobs: list[EpisodeJob], previous: EpisodeJob | None) -> EpisodeJob | None:
    """Of the task whose environment the process has, for to make one takes seconds; else of that with most to do."""
    if not jobs:
        return None
    waiting = [job.task for job in jobs]
    job = max(jobs, key=lambda job: (previous is not None and job.task == previous.task, waiting.count(job.task)))
    jobs.remove(job)
    return job


def _write(out: Path, told: dict[str, Any], episodes: list[Episode], total: int) -> dict[str, Any]:
    report = {"settings": told, "complete": len(episodes) >= total, **(figures(episodes) if episodes else {})}
    report["episodes"] = episodes
    write_atomically(out, (json.dumps(report, indent=1) + "\n").encode())
    return report
