"""Writes episodes in the layout of the released LIBERO demos (`<task>_demo.hdf5`).

The successful episodes of a seed (one, or several futures) are first a file of their own in a folder beside the final
one; when all are there they are put together. Each file appears under its name only when it is complete, so a run that was killed goes on where it was.
"""

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np

from trajforecast_model.sim.environment import CONTROL_HZ, Task, TaskEnvironment
from trajforecast_model.sim.episode import EpisodeRecord

ROBOT_STATES = "robot_states"


class EpisodeStore:
    """The unfinished episodes of one task.

    Raises:
        ValueError: on construction, if the folder holds episodes that were made with other settings.
    """

    def __init__(self, out: Path, task: Task, settings: dict):
        self.finished_file = out / f"{task.name}_demo.hdf5"
        self._folder = out / ".unfinished" / task.name
        self._settings = settings
        existing = self._existing_settings()
        if existing is not None and existing != settings:
            raise ValueError(
                f"{out} already holds {task.name} made with {_words(existing)}, now asked for {_words(settings)}; "
                "use the same settings to continue, or another --out"
            )

    def is_finished(self) -> bool:
        return self.finished_file.exists()

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        _write_text(self._folder / "settings.json", json.dumps(self._settings))

    def tried_seeds(self) -> dict[int, bool]:
        """Every seed that was simulated to its end, and whether the task was solved."""
        solved = {int(path.stem): True for path in self._folder.glob("*.hdf5")}
        failed = {int(path.stem): False for path in self._folder.glob("*.failed")}
        return solved | failed

    def add(self, environment: TaskEnvironment, seed: int, records: list[EpisodeRecord]) -> None:
        """Of one seed; none where it was not solved."""
        if not records:
            _write_text(self._folder / f"{seed}.failed", "")
            return

        def write(file: h5py.File) -> None:
            _write_task(file.create_group("data"), environment)
            for record in records:
                _write_demo(file["data"].create_group(f"demo_{record.future}"), record)

        _write_hdf5(self._folder / f"{seed}.hdf5", write)

    def finish(self, seeds: list[int]) -> None:
        """Puts the episodes of the seeds, in their order, into one file."""

        def write(file: h5py.File) -> None:
            data = file.create_group("data")
            number, total = 0, 0
            for seed in seeds:
                with h5py.File(self._folder / f"{seed}.hdf5", "r") as episodes:
                    data.attrs.update(episodes["data"].attrs)
                    for demo in sorted(episodes["data"].values(), key=lambda demo: demo.attrs.get("future", 0)):
                        episodes.copy(demo, data, name=f"demo_{number}")
                        number += 1
                        total += int(demo.attrs["num_samples"])
            data.attrs["num_demos"] = number
            data.attrs["total"] = total
            data.attrs["simulation"] = json.dumps(self._settings)

        _write_hdf5(self.finished_file, write)
        shutil.rmtree(self._folder)
        if not any(self._folder.parent.iterdir()):
            self._folder.parent.rmdir()

    def _existing_settings(self) -> dict | None:
        if self.finished_file.exists():
            try:
                with h5py.File(self.finished_file, "r") as file:
                    return json.loads(file["data"].attrs["simulation"])
            except (OSError, KeyError) as error:
                raise ValueError(
                    f"{self.finished_file} is not a file of `simulate` ({error}); use another --out"
                ) from error
        path = self._folder / "settings.json"
        return json.loads(path.read_text()) if path.exists() else None


def _write_task(data: h5py.Group, environment: TaskEnvironment) -> None:
    task = environment.task
    data.attrs["tag"] = "libero-v1"
    data.attrs["env_name"] = environment.problem_name
    data.attrs["macros_image_convention"] = "opengl"
    data.attrs["bddl_file_name"] = task.bddl_name
    data.attrs["problem_info"] = json.dumps(
        {
            "problem_name": environment.problem_name,
            "domain_name": environment.domain_name,
            "language_instruction": task.instruction,
        }
    )
    data.attrs["env_args"] = json.dumps(
        {
            "type": 1,
            "env_name": environment.problem_name,
            "problem_name": environment.problem_name,
            "bddl_file": task.bddl_name,
            "env_kwargs": {
                "bddl_file_name": task.bddl_name,
                "robots": ["Panda"],
                "controller_configs": {"type": "OSC_POSE"},
                "camera_names": ["robot0_eye_in_hand", "agentview"],
                "camera_heights": 128,
                "camera_widths": 128,
                "control_freq": CONTROL_HZ,
            },
        }
    )


def _write_demo(demo: h5py.Group, record: EpisodeRecord) -> None:
    steps = len(record.actions)
    at_the_end = np.zeros(steps, np.uint8)
    at_the_end[-1] = 1
    demo.attrs["num_samples"] = steps
    demo.attrs["init_state"] = record.states[0]
    demo.attrs["model_file"] = record.model_xml
    demo.attrs["seed"] = record.seed  # demos of the same seed begin in the same state
    demo.attrs["future"] = record.future
    demo.attrs["language_instruction"] = record.instruction
    demo["actions"] = record.actions
    demo["states"] = record.states
    demo["rewards"] = at_the_end
    demo["dones"] = at_the_end
    for name, values in record.observations.items():
        if name == ROBOT_STATES:
            demo[name] = values
        elif values.ndim == 4:
            # One chunk a frame: training reads single frames.
            demo.create_dataset(f"obs/{name}", data=values, chunks=(1, *values.shape[1:]), compression="gzip")
        else:
            demo[f"obs/{name}"] = values


def _write_hdf5(path: Path, write) -> None:
    """Calls write(file) on a temporary file beside `path` and renames it when it is complete."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with h5py.File(temporary, "w") as file:
            write(file)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def _words(settings: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
