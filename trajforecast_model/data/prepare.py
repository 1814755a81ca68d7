"""`trajforecast prepare`: demos to shards of training windows, one file a demo, in several processes.

A shard appears only when it is complete, so the same command continues a run that was interrupted.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from trajforecast_model.checkpoint import write_atomically
from trajforecast_model.config import to_dict
from trajforecast_model.data.labelers import LABELERS
from trajforecast_model.data.libero_hdf5 import demo_names, find_demo_files, fingerprint, read_demo, task_name
from trajforecast_model.data.shards import INFO_FILE, SPLITS, DatasetInfo, read_info, write_info, write_shard
from trajforecast_model.processes import run_in_processes

TRAIN_SHARE = 0.9
SOURCES_FILE = "sources.json"


def prepare(demos: list[Path], out: Path, labeler: str = "exact", stride: int = 1, workers: int = 1) -> int:
    """Writes `out/{train,val}/<task>__demo_<number>.arrow` (data/shards.py) for every demo that is not there yet.

    Split, per task: the first 90 % of the demos in natural order train, the rest val; at least one val where a task
    has two demos or more (the protocol of ATM and Tra-MoE).

    Args:
        demos: files in LIBERO's layout, or folders of them.

    Returns:
        The exit code: 0, or 1 if some demos were broken. Those are listed on stderr and the others prepared.

    Raises:
        ValueError: for an input that does not exist, an `out` that holds something else, or if every demo is broken.
    """
    if labeler not in LABELERS:
        raise ValueError(f"unknown labeler {labeler!r}; known labelers: {', '.join(LABELERS)}")
    if stride < 1:
        raise ValueError(f"--stride {stride}: expected at least 1")
    if workers < 1:
        raise ValueError(f"--workers {workers}: expected at least 1")
    files = find_demo_files(demos)
    info = DatasetInfo(labeler=labeler, stride=stride)
    _check_settings(out, info)

    broken: list[str] = []
    names_by_file: dict[Path, list[str]] = {}
    for file in files:
        try:
            names_by_file[file] = demo_names(file)
        except ValueError as error:
            broken.append(str(error))
    if not names_by_file:
        raise ValueError("; ".join(broken))
    _check_sources(out, names_by_file)
    for split in SPLITS:
        (out / split).mkdir(parents=True, exist_ok=True)
        for left_by_a_killed_run in (out / split).glob(".*.tmp"):
            left_by_a_killed_run.unlink()
    write_info(out, info)
    jobs = [job for file, names in names_by_file.items() for job in _jobs_of_file(file, names, out, info)]

    waiting = [job for job in jobs if not job.shard.exists()]
    done = len(jobs) - len(waiting)
    with tqdm(total=len(jobs), initial=done, unit="demo", desc="prepare") as progress:
        queue = iter(waiting)
        for _, problem in run_in_processes(_DemoWorker, lambda _: next(queue, None), min(workers, len(waiting))):
            progress.update()
            if problem:
                broken.append(problem)
            else:
                done += 1
    if not done:
        raise ValueError("no demo could be prepared: " + "; ".join(broken))
    for problem in broken:
        print(f"not prepared: {problem}", file=sys.stderr)
    return 1 if broken else 0


@dataclass(frozen=True)
class DemoJob:
    """One demo to prepare and the file it becomes."""

    file: Path
    demo: str
    shard: Path
    info: DatasetInfo


class _DemoWorker:
    """What runs in each process: prepares one demo a call."""

    def __init__(self):
        self._labeler = None

    def __call__(self, job: DemoJob) -> str | None:
        """Returns what is wrong with the demo, or None when its shard is written."""
        self._labeler = self._labeler or LABELERS[job.info.labeler]()
        try:
            demo = read_demo(job.file, job.demo)
            windows = self._labeler.label(demo, job.info)
        except ValueError as error:
            message = str(error)
            return message if str(job.file) in message else f"{job.file}: {job.demo}: {message}"
        # Outside: a full disk is not the demo's fault and ends the run.
        write_shard(job.shard, windows, job.info)
        return None


def split_of(number: int, count: int) -> str:
    """The split of a task's demo `number` among `count`."""
    in_train = int(TRAIN_SHARE * count + 1e-9)
    return "train" if number < max(1, in_train) else "val"


def _jobs_of_file(file: Path, names: list[str], out: Path, info: DatasetInfo) -> list[DemoJob]:
    return [
        DemoJob(
            file=file,
            demo=name,
            shard=out / split_of(number, len(names)) / f"{task_name(file)}__demo_{number:04d}.arrow",
            info=info,
        )
        for number, name in enumerate(names)
    ]


def _check_settings(out: Path, info: DatasetInfo) -> None:
    if not (out / INFO_FILE).exists():
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


def _check_sources(out: Path, names_by_file: dict[Path, list[str]]) -> None:
    """Remembers which file a task's shards came from: another one would be mixed in or skipped without a word."""
    sources_file = out / SOURCES_FILE
    sources = json.loads(sources_file.read_text()) if sources_file.exists() else {}
    for file, names in names_by_file.items():
        source = {"demos": len(names), "fingerprint": fingerprint(file, names)}
        known = sources.setdefault(task_name(file), source)
        if known != source:
            raise ValueError(
                f"{out} already holds {task_name(file)} from a file with {known['demos']} other demos; "
                f"prepare {file} into another --out"
            )
    write_atomically(sources_file, (json.dumps(sources, indent=2) + "\n").encode())
