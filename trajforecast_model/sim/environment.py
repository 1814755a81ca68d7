"""One LIBERO task as a MuJoCo environment: found by suite and number, reset from a seed, stepped by actions.

LIBERO (Liu et al. 2023) sits on robosuite. Its environments are made here without a renderer: sim/scene/rendering.py draws.
"""

import contextlib
import dataclasses
import importlib.util
import io
import logging
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import yaml

from trajforecast_model.sim.mujoco_setup import configure_mujoco
from trajforecast_model.sim.scene.assets import libero_assets

CONTROL_HZ = 20
OPEN_GRIPPER = -1.0
CLOSE_GRIPPER = 1.0
HOLD_GRIPPER = 0.0  # as far open as it is
SETTLE_STEPS = 5


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of a LIBERO suite. `bddl_file` is the installed file, `bddl_name` what the released demos call it."""

    suite: str
    number: int
    name: str
    instruction: str
    bddl_file: str
    bddl_name: str


@dataclasses.dataclass(frozen=True)
class Goal:
    """`item` is to be `relation` `target` ("in" or "on"), or by itself "open", "close", "turnon" or "turnoff".

    Names are those of the task's BDDL file.
    """

    relation: str
    item: str
    target: str = ""

    def instruction(self) -> str:
        """Of a thing that is put somewhere, in the words of the names: "pick up the milk and place it in the basket"."""
        item, target = (re.sub(r"_\d+(_.*)?$", "", name).replace("_", " ") for name in (self.item, self.target))
        return f"pick up the {item} and place it {self.relation} the {target}"


def all_tasks(suite: str) -> list[int]:
    """The numbers of a suite's tasks; ValueError for an unknown suite."""
    return list(range(len(_tasks_of(suite))))


def find_task(suite: str, number: int) -> Task:
    """Looks a task up in the installed LIBERO.

    Raises:
        ValueError: for an unknown suite, a number that the suite does not have, or a missing installation.
    """
    tasks = _tasks_of(suite)
    from libero.libero import get_libero_path

    if not 0 <= number < len(tasks):
        raise ValueError(f"{suite} has tasks 0 to {len(tasks) - 1}, got {number}")
    task = tasks[number]
    return Task(
        suite=suite,
        number=number,
        name=task.name,
        instruction=task.language,
        bddl_file=os.path.join(get_libero_path("bddl_files"), task.problem_folder, task.bddl_file),
        bddl_name=os.path.join("libero/libero/bddl_files", task.problem_folder, task.bddl_file),
    )


def _tasks_of(suite: str) -> list:
    with _quiet_libero():
        from libero.libero import benchmark

        makers = benchmark.get_benchmark_dict()
        if suite not in makers:
            known = ", ".join(name for name in makers if name in _RELEASED_SUITES)
            raise ValueError(f"unknown LIBERO suite {suite!r}; known suites: {known}")
        return makers[suite](0).tasks


def turned_to(task: Task, environment: "TaskEnvironment | None") -> "TaskEnvironment":
    """An environment of the task: the one that there is where its scene serves, else a new one in its place."""
    if environment is not None:
        if environment.turn_to(task):
            return environment
        environment.close()
    return TaskEnvironment(task)


class TaskEnvironment:
    """The simulated task. `model` and `data` are MuJoCo's own MjModel and MjData."""

    def __init__(self, task: Task):
        self.task = task
        with _quiet_libero():
            from libero.libero.envs.env_wrapper import ControlEnv

            self._env = ControlEnv(
                bddl_file_name=task.bddl_file,
                has_renderer=False,
                has_offscreen_renderer=False,
                use_camera_obs=False,
                ignore_done=True,
                # The model is the same in every episode; compiling it again would cost seconds each time.
                hard_reset=False,
                # Small random joint angles at the start, as in LIBERO's own initial states.
                initialization_noise="default",
                control_freq=CONTROL_HZ,
            )
        self.problem_name: str = self._env.problem_name
        self.domain_name: str = self._env.domain_name
        # It imports mujoco, which needs configure_mujoco() first.
        from trajforecast_model.sim.quick_steps import QuickSteps

        self._steps = QuickSteps(self._env.env)

    def turn_to(self, task: Task) -> bool:
        """Makes it another task of the same scene, which is much quicker than a new one; False if that is another scene."""
        if _scene(task) != _scene(self.task):
            return False
        with _quiet_libero():
            from libero.libero.envs import bddl_utils

            self._env.env.parsed_problem = bddl_utils.robosuite_parse_problem(task.bddl_file)
        self.task = task
        return True

    @property
    def model(self):
        return self._env.sim.model._model

    @property
    def data(self):
        return self._env.sim.data._data

    def goals(self) -> list[Goal]:
        """What the task asks for, in the order of its BDDL file."""
        return [Goal(relation.lower(), *names) for relation, *names in self._env.env.parsed_problem["goal_state"]]

    def reset(self, seed: int) -> None:
        """Places the objects at random as the task's BDDL file says and lets them settle.

        The episode depends on the seed alone, not on what was simulated before.
        """
        self._env.seed(seed % 2**32)
        with _quiet_libero():
            self._env.reset()
        # robosuite forgets to reset the gripper's integrator.
        gripper = self._env.robots[0].gripper
        gripper.current_action = np.zeros_like(gripper.current_action)
        self._steps.begin()
        for _ in range(SETTLE_STEPS):
            self.step(np.array([0.0] * 6 + [OPEN_GRIPPER]))

    def step(self, action: np.ndarray) -> None:
        """Applies an action [7] for 1/20 s: position delta, rotation delta (each in [-1, 1]), gripper."""
        self._steps.step(action)

    def succeeded(self) -> bool:
        return bool(self._env.check_success())

    def reached(self, goal: Goal) -> bool:
        """Whether any goal is reached, be it the task's or another one in its scene."""
        names = [goal.item, goal.target] if goal.target else [goal.item]
        return bool(self._env.env._eval_predicate([goal.relation, *names]))

    def joint_of(self, name: str) -> int:
        """MuJoCo's number of the joint of a thing that opens or turns, or of a region of one, such as a drawer."""
        inside = self._env.env
        owner = inside.object_sites_dict[name] if name in inside.object_sites_dict else inside.get_object(name)
        return self.model.joint(owner.joints[0]).id

    def goals_of_other_items(self, goal: Goal) -> list[Goal]:
        """The same with each other thing of the scene that can be moved, in the order of their names."""
        items = sorted(set(self._env.env.objects_dict) - {goal.item, goal.target})
        # The target may be a part of a thing, such as the inside of a basket.
        return [Goal(goal.relation, item, goal.target) for item in items if not goal.target.startswith(item)]

    def state(self) -> np.ndarray:
        """MuJoCo's state, float64 [1 + nq + nv]: time, positions, velocities."""
        return self._env.sim.get_state().flatten()

    def model_xml(self) -> str:
        """The MJCF text of the scene, with the fixtures where this episode has them."""
        return self._env.sim.model.get_xml()

    def proprioception(self) -> dict[str, np.ndarray]:
        """The robot's own readings under the names that the released demos use."""
        from robosuite.utils.transform_utils import quat2axisangle

        readings = self._env.env._get_observations(force_update=True)
        position = readings["robot0_eef_pos"]
        quaternion = readings["robot0_eef_quat"]
        rotation = quat2axisangle(quaternion.copy())
        gripper = readings["robot0_gripper_qpos"]
        return {
            "ee_pos": position,
            "ee_ori": rotation,
            "ee_states": np.concatenate([position, rotation]),
            "gripper_states": gripper,
            "joint_states": readings["robot0_joint_pos"],
            "robot_states": np.concatenate([gripper, position, quaternion]),
        }

    def close(self) -> None:
        self._env.close()


def _scene(task: Task) -> str:
    """Its BDDL file but for the words and the goal."""
    text = Path(task.bddl_file).read_text()
    return " ".join(re.sub(r"\(:(language|obj_of_interest)[^)]*\)", "", text[: text.index("(:goal")]).split())


_RELEASED_SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_90", "libero_10")


@contextlib.contextmanager
def _quiet_libero():
    """Imports and builds LIBERO without its questions and its notes on stdout."""
    configure_mujoco()
    _provide_libero_config()
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        yield
    # robosuite sets its own level when it is imported.
    logging.getLogger("robosuite_logs").setLevel(logging.ERROR)


def _provide_libero_config() -> None:
    """Points LIBERO to a path file of ours: without one, its first import asks a question on stdin."""
    if "LIBERO_CONFIG_PATH" in os.environ:
        return
    root = Path(importlib.util.find_spec("libero").submodule_search_locations[0]) / "libero"
    global _config_folder  # kept alive: the folder goes when the process does
    _config_folder = tempfile.TemporaryDirectory(prefix="trajforecast_libero_")
    paths = {
        "benchmark_root": str(root),
        "bddl_files": str(root / "bddl_files"),
        "init_states": str(root / "init_files"),
        "datasets": str(root.parent / "datasets"),
        "assets": str(libero_assets()),
    }
    (Path(_config_folder.name) / "config.yaml").write_text(yaml.safe_dump(paths))
    os.environ["LIBERO_CONFIG_PATH"] = _config_folder.name
