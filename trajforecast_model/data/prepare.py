"""`trajforecast prepare`: demos to shards of training windows, one file a demo, in several processes or machines.

A shard appears only when it is complete, so the same command continues a run that was interrupted.
"""

import contextlib
import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
from tqdm import tqdm

from trajforecast_model.data.demo import at_rate
from trajforecast_model.data.labelers.kinds import EXACT, STORED, check_labeler, make_labeler
from trajforecast_model.data.labelers.suited import check_suited
from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
from trajforecast_model.data.plan import DemoJob, describe, jobs_of, share_of, windows_of
from trajforecast_model.data.provenance import check_records, record_of, write_records
from trajforecast_model.data.shards import (
    INFO_FILE,
    SPLITS,
    DatasetInfo,
    read_info,
    write_info,
    write_shard,
)
from trajforecast_model.data.sources.bags.dry_run import tell_of_bags
from trajforecast_model.data.sources.find import demos_of, find_sources
from trajforecast_model.data.sources.frame_times import check_rates
from trajforecast_model.data.sources.interface import Source, SourceOptions
from trajforecast_model.data.sources.orientation import what_is_done
from trajforecast_model.data.sources.trajloom.clips import StoredClips
from trajforecast_model.data.windows import WindowLayout, check_layout
from trajforecast_model.data.words import check_words, words_of
from trajforecast_model.files.atomic import remove_leftovers
from trajforecast_model.files.config import to_dict
from trajforecast_model.files.disk import RoomForTheRest
from trajforecast_model.runtime.processes import RunJobs, run_in_processes
from trajforecast_model.sim.mujoco_setup import configure_mujoco


def prepare(
    demos: list[Path],
    out: Path,
    labeler: str = EXACT,
    stride: int = 1,
    workers: int = 1,
    *,
    tracker: TrackerOptions | None = None,
    reading: SourceOptions | None = None,
    dt: float | None = None,
    layout: WindowLayout | None = None,
    share: tuple[int, int] = (1, 1),
    dry_run: bool = False,
    run: RunJobs | None = None,
) -> int:
    """Writes `out/{train,val}/<task>__demo_<number>.arrow` (data/shards.py) for every demo that is not there yet.

    Split, per task: the first 90 % of the demos in natural order train, the rest val; at least one val where a task
    has two demos or more (the protocol of ATM and Tra-MoE).

    Args:
        demos: files or folders of any kind that `find_sources` knows.
        tracker: what a labeler other than `exact` needs.
        reading: how the recordings are to be read, and the views of the dataset.
        dt: seconds between two frames of the dataset; None for 0.05, and with stored tracks for those of the first video.
        layout: what each window holds; the size of its images is that at which `reading` takes them.
        share: (i, n): do the i-th of n disjoint shares of the demos. Machines with a share each may write into one
            folder at a time.
        dry_run: print what would be done and write nothing but a picture of what is in bags, beside `out`.
        run: where the workers are; None for processes of this machine.

    Returns:
        The exit code: 0, or 1 if some demos were broken. Those are listed on stderr and the others prepared.

    Raises:
        ValueError: for an input that does not exist, an `out` that holds something else, a labeler that cannot label
            these demos, or if every demo is broken.
    """
    tracker, reading, layout = tracker or TrackerOptions(), reading or SourceOptions(), layout or WindowLayout()
    check_labeler(labeler, tracker)
    if stride < 1:
        raise ValueError(f"--stride {stride}: expected at least 1")
    if workers < 1:
        raise ValueError(f"--workers {workers}: expected at least 1")
    check_rates(dt, reading.fps)
    check_layout(layout, reading.image_size)
    sources = find_sources(demos, reading if dt is None else replace(reading, dt=dt))
    info = DatasetInfo(
        labeler=labeler,
        stride=stride,
        dt=dt or (_own_dt(sources) if labeler == STORED else 0.05),
        num_frames=layout.num_frames,
        grid=layout.grid,
        history_frames=layout.history,
        history_pictures=layout.history_pictures,
        anchor=layout.anchor if layout.history or labeler == STORED else "present",
        views=tuple(reading.cameras),
        image_size=reading.image_size,
        labeler_weights=tracker.weights.name if tracker.weights else None,
    )
    check_suited(sources, info, reading.cameras)
    if reading.captions and not any(isinstance(source, StoredClips) for source in sources):
        raise ValueError("--captions: there are no videos with stored tracks, whose captions it holds; leave it out")
    _check_settings(out, info)

    listed, broken = demos_of(sources)
    words = words_of(listed)
    check_words(words, reading.instruction)
    records = {source.task: record_of(source, names) for source, names in listed}
    check_records(out, records)
    jobs = [job for source, names in listed for job in jobs_of(source, names, out)]
    own = share_of(jobs, share)
    if dry_run:
        lines, more_broken = describe(jobs, own, out, info)
        print("\n".join([*tell_of_bags(sources, out), *lines]))
        if own and len(more_broken) == len(own):
            raise ValueError("no demo could be prepared: " + "; ".join(more_broken))
        return _report(broken + more_broken)

    waiting, problems = _sound([job for job in own if not job.shard.exists()], info)
    broken += problems
    if own and len(problems) == len(own):
        raise ValueError("no demo could be prepared: " + "; ".join(broken))
    if labeler == EXACT and any(source.replayable for source in sources):
        configure_mujoco()  # says once what is missing, and not of each demo
    for line in dict.fromkeys(
        f"{source.place}: {what_is_done(source.orientation, source.because)}" for source in sources
    ):
        print(line)
    _make_folders(out, info, records)
    remove_leftovers(job.shard for job in waiting)
    done = len(own) - len(waiting) - len(problems)
    room = RoomForTheRest(out, (job.shard for job in own if job.shard.exists()), len(waiting))
    room.look()
    with tqdm(total=len(own) - len(problems), initial=done, unit="demo", desc="prepare") as progress:
        queue = iter(waiting)
        make_worker = partial(_DemoWorker, info, tracker)
        notes: list[str] = []
        run_jobs = run or run_in_processes
        for job, outcome in run_jobs(make_worker, lambda _: next(queue, None), min(workers, len(waiting))):
            progress.update()
            room.written(job.shard)
            notes += outcome.notes
            if outcome.problem:
                broken.append(outcome.problem)
            else:
                done += 1
    for note in notes:
        print(f"prepared all the same: {note}", file=sys.stderr)
    if own and not done:
        raise ValueError("no demo could be prepared: " + "; ".join(broken))
    return _report(broken)


def default_workers(tracker: TrackerOptions) -> int:
    """A process a core; one alone where each would load the labeler's network onto the same GPU."""
    return 1 if tracker.device.startswith("cuda") else os.cpu_count() or 1


@dataclass(frozen=True)
class _Outcome:
    """problem: what is wrong with a demo, None when its shard is written. notes: what there is to say of it."""

    problem: str | None
    notes: tuple[str, ...] = ()


class _DemoWorker:
    """What runs in each process: prepares one demo a call. Raises ValueError where the labeler cannot be made."""

    def __init__(self, info: DatasetInfo, tracker: TrackerOptions):
        self._info = info
        self._labeler = make_labeler(info.labeler, tracker)

    def __call__(self, job: DemoJob) -> _Outcome:
        try:
            demo = at_rate(job.source.read(job.demo), self._info.dt)
            # A full disk is not the demo's fault: its OSError ends the run.
            write_shard(job.shard, self._labeler.label(demo, self._info), self._info)
        except (ValueError, cv2.error) as error:
            message = str(error)
            place = str(job.source.place)
            return _Outcome(message if place in message else f"{place}: {job.demo}: {message}")
        return _Outcome(None, demo.notes)


def _report(broken: list[str]) -> int:
    for problem in broken:
        print(f"not prepared: {problem}", file=sys.stderr)
    return 1 if broken else 0


def _sound(jobs: list[DemoJob], info: DatasetInfo) -> tuple[list[DemoJob], list[str]]:
    """The jobs of which nothing wrong shows before their images are decoded, and what is wrong with the others."""
    sound, problems = [], []
    for job in jobs:
        try:
            windows_of(job, info)
            sound.append(job)
        except ValueError as error:
            problems.append(str(error))
    return sound, problems


def _own_dt(sources: list[Source]) -> float:
    """Seconds between two frames of the first video that can be read."""
    for source in sources:
        for name in source.names():
            with contextlib.suppress(ValueError):
                return 1 / source.outline(name).fps
    return 0.05


def _check_settings(out: Path, info: DatasetInfo) -> None:
    """An interrupted run may have left its settings without a shard; those bind nobody."""
    if not (out / INFO_FILE).exists() or not any(out.glob("*/*.arrow")):
        return
    existing = read_info(out)
    if existing != info:
        asked = to_dict(info)
        different = [name for name, value in to_dict(existing).items() if value != asked[name]]
        raise ValueError(
            f"{out} was prepared with other settings ("
            + ", ".join(f"{name} {to_dict(existing)[name]}, now {asked[name]}" for name in different)
            + "); use the same ones to continue, or another --out"
        )


def _make_folders(out: Path, info: DatasetInfo, records: dict[str, dict]) -> None:
    for split in SPLITS:
        (out / split).mkdir(parents=True, exist_ok=True)
    write_info(out, info)
    write_records(out, records)
