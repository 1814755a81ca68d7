"""`trajforecast simulate --suite blocks`: scenes of blocks, each with one picture and several futures.

The scene of a seed and its rollouts depend on the seed alone: neither on the number of workers, nor on how often the
run was interrupted, nor on how many rollouts are asked for.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.files.atomic import remove_leftovers, write_atomically
from trajforecast_model.files.disk import RoomForTheRest
from trajforecast_model.files.json_files import read_object
from trajforecast_model.runtime.processes import RunJobs, run_in_processes
from trajforecast_model.sim.blocks.primitives import PRIMITIVES
from trajforecast_model.sim.mujoco_setup import configure_mujoco

PACKAGES = ("mujoco", "h5py")
SETTINGS_FILE = "blocks.json"


@dataclass(frozen=True)
class BlockSettings:
    """What all scenes of a folder share."""

    rollouts: int = 1
    primitives: str = "seen"


def simulate_blocks(
    scenes: int, settings: BlockSettings, out: Path, seed: int = 0, workers: int = 1, run: RunJobs | None = None
) -> None:
    """Writes `out/scene_<seed>.hdf5` (sim/blocks/scene_files.py) for the seeds from `seed` on that are not there yet.

    Args:
        run: where the workers are; None for processes of this machine.

    Raises:
        ValueError: for a count below 1, unknown primitives, an `out` of other settings, or missing packages.
    """
    for name, value in (("episodes", scenes), ("rollouts", settings.rollouts), ("workers", workers)):
        if value < 1:
            raise ValueError(f"--{name} {value}: expected at least 1")
    if seed < 0:
        raise ValueError(f"--seed {seed}: expected 0 or more")
    if settings.primitives not in PRIMITIVES:
        raise ValueError(f"--primitives {settings.primitives}: expected one of {', '.join(PRIMITIVES)}")
    configure_mujoco(PACKAGES, extra="blocks")
    from trajforecast_model.sim.blocks.scene_files import scene_file_name

    _remember_settings(out, settings)
    jobs = [SceneJob(number, settings, out / scene_file_name(number)) for number in range(seed, seed + scenes)]
    waiting = [job for job in jobs if not job.file.exists()]
    remove_leftovers(job.file for job in waiting)
    room = RoomForTheRest(out, (job.file for job in jobs if job.file.exists()), len(waiting))
    room.look()
    queue = iter(waiting)
    with tqdm(total=len(jobs), initial=len(jobs) - len(waiting), unit="scene", desc="simulate blocks") as progress:
        run_jobs = run or run_in_processes
        for job, _ in run_jobs(SceneSimulator, lambda _: next(queue, None), min(workers, len(waiting))):
            progress.update()
            room.written(job.file)


def read_settings(folder: Path) -> dict:
    """What the scenes of a folder were made with. Raises ValueError where the file is damaged."""
    return read_object(
        folder / SETTINGS_FILE, "delete it and repeat the command `trajforecast simulate` that made the scenes"
    )


@dataclass(frozen=True)
class SceneJob:
    """One scene to simulate and store."""

    seed: int
    settings: BlockSettings
    file: Path


class SceneSimulator:
    """What runs in each process: one scene a call."""

    def __call__(self, job: SceneJob) -> None:
        # They import mujoco, which needs configure_mujoco() first.
        configure_mujoco(PACKAGES, extra="blocks")
        from trajforecast_model.sim.blocks.rollout import simulate_rollout
        from trajforecast_model.sim.blocks.scene import draw_scene
        from trajforecast_model.sim.blocks.scene_files import SimulatedScene, write_scene
        from trajforecast_model.sim.blocks.view import BlockView

        scene = draw_scene(job.seed, job.settings.primitives)
        model = scene.compile()
        states = np.stack([simulate_rollout(model, job.seed, number) for number in range(job.settings.rollouts)])
        view = BlockView(model)
        view.show(states[0, 0])
        write_scene(job.file, SimulatedScene(scene, view.image(), view.object_mask(), states))


def _remember_settings(out: Path, settings: BlockSettings) -> None:
    path = out / SETTINGS_FILE
    wanted = asdict(settings)
    if path.exists():
        existing = read_settings(out)
        if existing != wanted:
            words = [", ".join(f"{name} {value}" for name, value in these.items()) for these in (existing, wanted)]
            raise ValueError(
                f"{out} holds scenes made with {words[0]}, now asked for {words[1]}; use the same settings to "
                "continue, or another --out"
            )
        return
    write_atomically(path, (json.dumps(wanted) + "\n").encode())
