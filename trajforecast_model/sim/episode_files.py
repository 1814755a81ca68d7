"""Writes episodes in the layout of the released LIBERO demos (`<task>_demo.hdf5`).

The successful episodes of a seed (one, or several futures) are first a file of their own in a folder beside the final
one; when all are there they are put together. Each file appears under its name only when it is complete, so a run that
was killed goes on where it was.
"""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from trajforecast_model.files.atomic import remove_leftovers, replacing, write_atomically
from trajforecast_model.files.disk import check_room
from trajforecast_model.files.json_files import read_object
from trajforecast_model.sim.environment import CONTROL_HZ, Task, TaskEnvironment
from trajforecast_model.sim.episode import EpisodeRecord

ROBOT_STATES = "robot_states"


class EpisodeStore:
    """The unfinished episodes of one task.

    Raises:
        ValueError: on construction, if the folder holds episodes that were made with other settings, or a file that
            says with which ones is damaged.
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
        """Removes what killed runs left of this task; other processes may be at work on others in the same folder."""
        remove_leftovers([self.finished_file])
        if self.is_finished():
            self._remove_folder()
            return
        for left in self._folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
        write_atomically(self._folder / "settings.json", json.dumps(self._settings).encode())

    def tried_seeds(self) -> dict[int, bool]:
        """Every seed that was simulated to its end, and whether the task was solved."""
        solved = {int(path.stem): True for path in self._folder.glob("*.hdf5")}
        failed = {int(path.stem): False for path in self._folder.glob("*.failed")}
        return solved | failed

    def add(self, environment: TaskEnvironment, seed: int, records: list[EpisodeRecord]) -> None:
        """Of one seed; none where it was not solved."""
        if not records:
            write_atomically(self._folder / f"{seed}.failed", b"")
            return

        memory = io.BytesIO()  # HDF5 takes the process with it where the disk is full
        with h5py.File(memory, "w") as file:
            _write_task(file.create_group("data"), environment)
            for record in records:
                _write_demo(file["data"].create_group(f"demo_{record.future}"), record)
        write_atomically(self.episode_file(seed), memory.getvalue())

    def episode_file(self, seed: int) -> Path:
        """That of a seed which solved the task."""
        return self._folder / f"{seed}.hdf5"

    def finish(self, seeds: list[int]) -> None:
        """Puts the episodes of the seeds, in their order, into one file. Raises OSError where there is no room for it."""
        self._check_room(seeds)
        with replacing(self.finished_file) as temporary, h5py.File(temporary, "w") as file:
            data = file.create_group("data")
            number, total = 0, 0
            for seed in seeds:
                with self._episodes(seed) as episodes:
                    data.attrs.update(episodes["data"].attrs)
                    for demo in sorted(episodes["data"].values(), key=lambda demo: demo.attrs.get("future", 0)):
                        episodes.copy(demo, data, name=f"demo_{number}")
                        number += 1
                        total += int(demo.attrs["num_samples"])
            data.attrs["num_demos"] = number
            data.attrs["total"] = total
            data.attrs["simulation"] = json.dumps(self._settings)
        self._remove_folder()

    def _check_room(self, seeds: list[int]) -> None:
        needed = sum(self.episode_file(seed).stat().st_size for seed in seeds)
        check_room(
            self._folder, 1.1 * needed + 2**20, f"{self.finished_file.name}, for which what was simulated is kept,"
        )

    @contextlib.contextmanager
    def _episodes(self, seed: int) -> Iterator[h5py.File]:
        """The file of a seed. Raises ValueError naming it where it is damaged."""
        path = self.episode_file(seed)
        try:
            episodes = h5py.File(path, "r")
        except OSError as error:
            raise ValueError(
                f"{path} is damaged ({error}); delete it, and the same command simulates it again"
            ) from error
        with episodes:
            yield episodes

    def _remove_folder(self) -> None:
        if self._folder.exists():
            shutil.rmtree(self._folder)
        with contextlib.suppress(OSError):  # not empty: other tasks are unfinished
            self._folder.parent.rmdir()

    def _existing_settings(self) -> dict | None:
        if self.finished_file.exists():
            try:
                with h5py.File(self.finished_file, "r") as file:
                    return json.loads(file["data"].attrs["simulation"])
            except (OSError, KeyError, ValueError) as error:
                raise ValueError(
                    f"{self.finished_file} is not a file of `simulate` ({error}); use another --out"
                ) from error
        path = self._folder / "settings.json"
        return read_object(path, f"delete {self._folder} to simulate the task anew") if path.exists() else None


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


def _words(settings: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
