"""`trajforecast prepare` of block scenes: one shard a scene, in which every rollout is a window.

A shard appears only when it is complete, so the same command continues a run that was interrupted.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from trajforecast_model.data.plan import split_of
from trajforecast_model.data.shards import SPLITS, DatasetInfo, write_info, write_shard
from trajforecast_model.files.atomic import remove_leftovers, write_atomically
from trajforecast_model.files.disk import RoomForTheRest
from trajforecast_model.files.json_files import read_object
from trajforecast_model.runtime.processes import RunJobs, run_in_processes
from trajforecast_model.sim.blocks.generate import PACKAGES, SETTINGS_FILE, read_settings
from trajforecast_model.sim.mujoco_setup import configure_mujoco

_SCENES_FILE = "scenes.json"


def holds_block_scenes(folder: Path) -> bool:
    """Whether `trajforecast simulate --suite blocks` wrote the folder."""
    return (folder / SETTINGS_FILE).is_file()


def prepare_blocks(
    folder: Path,
    out: Path,
    workers: int = 1,
    *,
    frame_side: int | None = None,
    labeler: str = "exact",
    run: RunJobs | None = None,
) -> int:
    """Writes `out/{train,val}/scene_<seed>.arrow` for every scene of the folder that is not there yet.

    The first 90 % of the scenes train, the rest are validation: all futures of a scene are on the same side.

    Args:
        frame_side: also store the frames of every window, of so many pixels a side.
        run: where the workers are; None for processes of this machine.

    Returns:
        The exit code: 0, or 1 if some files were damaged. Those are listed on stderr and the others prepared.

    Raises:
        ValueError: for a folder without scenes, an `out` that was prepared from other ones, or another labeler.
    """
    if labeler != "exact":
        raise ValueError(f"--labeler {labeler}: {folder} holds block scenes, which have exact labels; leave it out")
    if workers < 1:
        raise ValueError(f"--workers {workers}: expected at least 1")
    configure_mujoco(PACKAGES, extra="blocks")
    # They import mujoco, which needs configure_mujoco() first.
    from trajforecast_model.data.block_scenes import INFO
    from trajforecast_model.sim.blocks.scene_files import FILE_PATTERN

    info = INFO
    if frame_side is not None:
        if not 1 <= frame_side <= min(INFO.image_size):
            raise ValueError(
                f"--frame-size {frame_side}: expected 1 to {min(INFO.image_size)} pixels, the size of the images"
            )
        info = replace(INFO, frame_size=(frame_side, frame_side))
    files = sorted(folder.glob(FILE_PATTERN))
    if not files:
        raise ValueError(f"{folder} has no scenes; simulate some: trajforecast simulate --suite blocks --out {folder}")
    scenes = read_settings(folder) | {"scenes": [file.stem for file in files]}
    _remember_scenes(out, scenes if frame_side is None else scenes | {"frames": frame_side})
    for split in SPLITS:
        (out / split).mkdir(parents=True, exist_ok=True)
    write_info(out, info)
    jobs = [
        SceneJob(file, out / split_of(number, len(files)) / f"{file.stem}.arrow", info)
        for number, file in enumerate(files)
    ]
    waiting = [job for job in jobs if not job.shard.exists()]
    remove_leftovers(job.shard for job in jobs)
    room = RoomForTheRest(out, (job.shard for job in jobs if job.shard.exists()), len(waiting))
    room.look()
    broken = []
    queue = iter(waiting)
    with tqdm(total=len(jobs), initial=len(jobs) - len(waiting), unit="scene", desc="prepare") as progress:
        run_jobs = run or run_in_processes
        for job, problem in run_jobs(_SceneLabeler, lambda _: next(queue, None), min(workers, len(waiting))):
            progress.update()
            room.written(job.shard)
            broken += [problem] if problem else []
    if len(broken) == len(jobs):
        raise ValueError("no scene could be prepared: " + "; ".join(broken))
    for problem in broken:
        print(f"not prepared: {problem}", file=sys.stderr)
    return 1 if broken else 0


@dataclass(frozen=True)
class SceneJob:
    """One scene to prepare and the file it becomes."""

    file: Path
    shard: Path
    info: DatasetInfo


class _SceneLabeler:
    """What runs in each process: prepares one scene a call."""

    def __call__(self, job: SceneJob) -> str | None:
        """Returns what is wrong with the scene, or None when its shard is written."""
        configure_mujoco(PACKAGES, extra="blocks")
        from trajforecast_model.data.block_scenes import scene_windows
        from trajforecast_model.sim.blocks.scene_files import read_scene

        try:
            windows = scene_windows(read_scene(job.file), job.info.frame_size)
        except ValueError as error:
            message = str(error)
            return message if str(job.file) in message else f"{job.file}: {message}"
        # Outside: a full disk is not the scene's fault and ends the run.
        write_shard(job.shard, windows, job.info)
        return None


def _remember_scenes(out: Path, scenes: dict) -> None:
    """With more scenes the split would move, and a scene might come to lie on both sides of it."""
    path = out / _SCENES_FILE
    if path.exists() and read_object(path, "use another --out") != scenes:
        raise ValueError(
            f"{out} was prepared from other scenes, from fewer of them or with another --frame-size; use another --out"
        )
    if not path.exists() and any(out.glob("*/*.arrow")):
        raise ValueError(f"{out} holds shards of other data; use another --out")
    write_atomically(path, (json.dumps(scenes) + "\n").encode())
