"""What `trajforecast prepare` has to do: which demos, which split and file each goes to, and whose share it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trajforecast_model.data.demo import frames_at_rate
from trajforecast_model.data.labelers.kinds import EXACT, num_windows
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.data.sources.interface import Source
from trajforecast_model.data.sources.names import file_name_of
from trajforecast_model.data.sources.orientation import what_is_done

TRAIN_SHARE = 0.9


@dataclass(frozen=True)
class DemoJob:
    """One demo to prepare and the file it becomes."""

    source: Source
    demo: str
    shard: Path

    @property
    def split(self) -> str:
        return self.shard.parent.name


def split_of(number: int, count: int) -> str:
    """The split of a task's demo `number` among `count`."""
    in_train = int(TRAIN_SHARE * count + 1e-9)
    return "train" if number < max(1, in_train) else "val"


def jobs_of(source: Source, names: list[str], out: Path) -> list[DemoJob]:
    """One job a demo. A demo's split and file do not depend on which demos are broken."""
    return [
        DemoJob(
            source, name, out / split_of(number, len(names)) / f"{file_name_of(source.task)}__demo_{number:04d}.arrow"
        )
        for number, name in enumerate(names)
    ]


def parse_share(text: str) -> tuple[int, int]:
    """`2/8`, the second of eight machines. Raises ValueError for anything else."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"--shard {text!r}: expected I/N with I from 1 to N, for example 2/8")
    return int(number), int(count)


def share_of(jobs: list[DemoJob], share: tuple[int, int]) -> list[DemoJob]:
    """Every N-th job from the I-th on, by the names of their files: the order in which inputs were given is no matter."""
    number, count = share
    return sorted(jobs, key=lambda job: (job.shard.name, job.split))[number - 1 :: count]


def windows_of(job: DemoJob, info: DatasetInfo) -> int:
    """How many windows the demo makes. Raises ValueError for what is wrong with it as far as that shows unread."""
    outline = job.source.outline(job.demo)
    try:
        num_frames = len(frames_at_rate(outline.num_frames, outline.fps, info.dt))
        windows = num_windows(info.labeler, num_frames, outline.first_image, info)
    except ValueError as error:
        raise ValueError(f"{job.source.place}: {job.demo}: {error}") from error
    if info.labeler != EXACT and outline.views_without_images:
        raise ValueError(
            f"{job.source.place}: {job.demo} has no images of {' and '.join(outline.views_without_images)}, and a point "
            "tracker needs them; name the cameras with --view, or use --labeler exact where the recording has states"
        )
    return windows


def describe(all_jobs: list[DemoJob], own: list[DemoJob], out: Path, info: DatasetInfo) -> tuple[list[str], list[str]]:
    """What a dry run says: lines about each task and their sum, and what is wrong with demos that are to be done."""
    lines, broken = [], []
    waiting_shards = {job.shard for job in own if not job.shard.exists()}
    total_demos = total_windows = 0
    for task, jobs in _by_task(all_jobs).items():
        source = jobs[0].source
        windows = 0
        for job in (job for job in jobs if job.shard in waiting_shards):
            try:
                windows += windows_of(job, info)
                total_demos += 1
            except ValueError as error:
                broken.append(str(error))
        total_windows += windows
        in_train = sum(job.split == "train" for job in jobs)
        there = sum(job.shard.exists() for job in jobs)
        lines.append(
            f"{task}: {source.kind}, {what_is_done(source.orientation, source.because)}, {source.place}: {len(jobs)} demos "
            f"({in_train} train, {len(jobs) - in_train} val), {there} there already, {windows} windows to make"
        )
    lines.append(f"would prepare {total_demos} demos, {total_windows} windows, labelled by {info.labeler}, in {out}")
    return lines, broken


def _by_task(jobs: Iterable[DemoJob]) -> dict[str, list[DemoJob]]:
    tasks: dict[str, list[DemoJob]] = {}
    for job in jobs:
        tasks.setdefault(job.source.task, []).append(job)
    return tasks
