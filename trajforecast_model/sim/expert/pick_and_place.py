"""A skill of the scripted expert: picks one thing up and puts it in or on another, from the simulator's privileged state."""

import re

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from trajforecast_model.sim.environment import CLOSE_GRIPPER, OPEN_GRIPPER, Goal, TaskEnvironment
from trajforecast_model.sim.expert.arm import Arm, identifier
from trajforecast_model.sim.expert.grasping import Grasp, find_grasp, visible_points
from trajforecast_model.sim.expert.phases import Phase, Skill

RETRIES = 2
LIFTED = 0.03
APPROACH_HEIGHT = 0.08
CARRY_CLEARANCE = 0.05
_LIFT = 3  # number of the phase


class PickAndPlace(Skill):
    """Plans from the state at construction.

    Args:
        rng: also varies the approach and the place of release.
    """

    def __init__(self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator):
        super().__init__(arm, rng)
        self._environment, self._goal = environment, goal
        self._tries = 0
        self._plan()

    def after_phase(self, number: int) -> None:
        height = self._environment.data.xpos[self._item_body][2]
        if number == _LIFT and height < self._height_before + LIFTED and self._tries < RETRIES:
            self._tries += 1
            self._plan()

    def _plan(self) -> None:
        model, data = self._environment.model, self._environment.data
        self._item_body = identifier(model, mujoco.mjtObj.mjOBJ_BODY, f"{self._goal.item}_main")
        self._height_before = data.xpos[self._item_body][2]
        points = visible_points(model, data, f"{self._goal.item}_main")
        grasp = find_grasp(points, self.arm.closing_axis, self._obstacles(points[:, 2].min()), self.rng)
        self.begin(self._phases_for(grasp))

    def _phases_for(self, grasp: Grasp) -> list[Phase]:
        rotation = Rotation.from_euler("z", grasp.yaw).as_matrix() @ self.arm.first_rotation
        place, rim_height = self._target()
        carry_height = rim_height + grasp.height + CARRY_CLEARANCE
        # The object's centre, not the gripper, goes over the target.
        above_target = np.array([*(place[:2] + grasp.offset + self.rng.uniform(-0.01, 0.01, 2)), carry_height])
        jitter = [self.rng.uniform(-0.01, 0.01), self.rng.uniform(-0.01, 0.01), self.rng.uniform(0, 0.04)]
        above_item = grasp.position + np.array([0, 0, APPROACH_HEIGHT]) + jitter
        lifted = np.array([*grasp.position[:2], carry_height])
        into_basket = "basket" in self._goal.target
        lowered = above_target - [0, 0, min(CARRY_CLEARANCE, grasp.height) if into_basket else 0.045]
        release = above_target - [0, 0, CARRY_CLEARANCE if into_basket else 0.045]
        return [
            Phase("move", above_item, rotation, OPEN_GRIPPER, 0.015, 60),
            Phase("move", grasp.position, rotation, OPEN_GRIPPER, 0.006, 40),
            Phase("close", grasp.position, rotation, CLOSE_GRIPPER, 0, 30),
            Phase("move", lifted, rotation, CLOSE_GRIPPER, 0.02, 50),
            Phase("move", above_target, rotation, CLOSE_GRIPPER, 0.015, 70),
            Phase("move", lowered, rotation, CLOSE_GRIPPER, 0.01, 15),
            Phase("release", release, rotation, OPEN_GRIPPER, 0, 12),
            Phase("move", above_target + np.array([0, 0, 0.05]), rotation, OPEN_GRIPPER, 0.02, 12),
        ]

    def _target(self) -> tuple[np.ndarray, float]:
        """The point [3] to put the item at and the height of the target's highest edge."""
        model, data = self._environment.model, self._environment.data
        site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, self._goal.target)
        owner = re.match(r"(.*_\d+)(_|$)", self._goal.target)
        body = f"{owner.group(1)}_main" if owner else ""
        has_body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, body) >= 0
        points = visible_points(model, data, body) if has_body else data.site_xpos[[site]]
        place = data.site_xpos[site].copy() if site >= 0 else (points.min(0) + points.max(0)) / 2
        return place, points[:, 2].max()

    def _obstacles(self, ground: float) -> np.ndarray:
        """Centres [M, 2] of the other objects that stand on the same ground."""
        model, data = self._environment.model, self._environment.data
        others = [
            data.xpos[body][:2]
            for body in range(model.nbody)
            if model.body(body).name.endswith("_main")
            and body != self._item_body
            and data.xpos[body][2] > ground - 0.05
        ]
        return np.array(others).reshape(-1, 2)
