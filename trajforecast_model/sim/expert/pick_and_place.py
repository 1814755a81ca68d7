"""A skill of the scripted expert: picks one thing up and puts it in or on another, from the simulator's privileged state."""

import re

import mujoco
import numpy as np

from trajforecast_model.sim.environment import CLOSE_GRIPPER, OPEN_GRIPPER, Goal, TaskEnvironment
from trajforecast_model.sim.expert.arm import Arm, identifier
from trajforecast_model.sim.expert.clearance import highest_between
from trajforecast_model.sim.expert.grasping import Grasp, choose_grasp
from trajforecast_model.sim.expert.phases import Phase
from trajforecast_model.sim.expert.skill import Skill
from trajforecast_model.sim.expert.surfaces import even_points, obstacle_points, visible_points

RETRIES = 3
LIFTED = 0.03
APPROACH_HEIGHT = 0.08
CARRY_CLEARANCE = 0.05
_SECOND_THOUGHTS = 0.06  # how probable it is that a thing is put back at first, to be taken in another way
_SURFACE_POINTS = 3000
_HAND_RADIUS = 0.1
_FINGERTIP_BELOW = 0.02


class PickAndPlace(Skill):
    """Plans from the state at construction, and again when the thing is in the hand, or was not to be lifted or placed.

    Args:
        rng: also varies the approach and the place of release.
    """

    def __init__(self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator):
        super().__init__(arm, rng)
        self._environment, self._goal = environment, goal
        self._item = f"{goal.item}_main"
        self._item_body = identifier(environment.model, mujoco.mjtObj.mjOBJ_BODY, self._item)
        self._failed: list[Grasp] = []
        self._pick()

    def _pick(self) -> None:
        model, data = self._environment.model, self._environment.data
        self._lifting = True
        self._height_before = data.xpos[self._item_body][2]
        points = visible_points(model, data, self._item)
        surface = even_points(model, data, self._item, _SURFACE_POINTS, self.rng)
        obstacles = obstacle_points(model, data, without=self._item)
        grasp = choose_grasp(points, surface, self.arm.closing_axis, obstacles, self.rng, self._failed)
        self._grasp = grasp
        self._rotation = self.arm.reaching(grasp.position, grasp.yaw)
        jitter = [self.rng.uniform(-0.01, 0.01), self.rng.uniform(-0.01, 0.01), self.rng.uniform(0, 0.04)]
        above_item = grasp.position + np.array([0, 0, APPROACH_HEIGHT]) + jitter
        lifted = grasp.position + np.array([0, 0, 2 * LIFTED])
        self.begin(
            [
                *self._way_to(above_item, obstacles, OPEN_GRIPPER, _FINGERTIP_BELOW),
                Phase("move", above_item, self._rotation, OPEN_GRIPPER, 0.015, 60),
                Phase("move", grasp.position, self._rotation, OPEN_GRIPPER, 0.006, 40),
                Phase("close", grasp.position, self._rotation, CLOSE_GRIPPER, 0, 30),
                Phase("move", lifted, self._rotation, CLOSE_GRIPPER, 0.02, 50),
            ]
        )

    def _place(self) -> None:
        """From where the thing hangs in the hand now."""
        model, data = self._environment.model, self._environment.data
        self._lifting = False
        position, _ = self.arm.gripper_pose()
        points = visible_points(model, data, self._item)
        offset = position[:2] - data.xpos[self._item_body][:2]
        hangs = position[2] - points[:, 2].min()
        radius = np.ptp(points[:, :2], axis=0).max() / 2
        place, top = self._target(radius)
        obstacles = obstacle_points(model, data, without=self._item)
        # The object's centre, not the gripper, goes over the target.
        scatter = self.rng.uniform(-0.01, 0.01, 2)
        above = np.array([*(place[:2] + offset + scatter), top + hangs + CARRY_CLEARANCE])
        self._rotation = self.arm.reaching(above, self._grasp.yaw)
        in_depth = min(CARRY_CLEARANCE, hangs) if "basket" in self._goal.target else 0.0
        lowered = above - [0, 0, max(in_depth, 0.045)]
        self.begin(
            [
                *self._way_to(above, obstacles, CLOSE_GRIPPER, hangs + 0.02, radius),
                Phase("move", above, self._rotation, CLOSE_GRIPPER, 0.015, 70),
                Phase("move", lowered, self._rotation, CLOSE_GRIPPER, 0.008, 25),
                Phase("release", lowered, self._rotation, OPEN_GRIPPER, 0, 12),
                Phase("move", above + np.array([0, 0, 0.05]), self._rotation, OPEN_GRIPPER, 0.02, 20),
            ]
        )

    def after_last_phase(self) -> None:
        if self._lifting and self._environment.data.xpos[self._item_body][2] > self._height_before + LIFTED:
            if not self._failed and self.rng.uniform() < _SECOND_THOUGHTS:
                self._put_back()
            else:
                self._place()
        elif (self._lifting or not self._environment.reached(self._goal)) and len(self._failed) < RETRIES:
            self._failed.append(self._grasp)
            self._pick()

    def _put_back(self) -> None:
        """To take it in another way."""
        down = self._grasp.position + np.array([0, 0, 0.003])
        self._height_before = np.inf
        self.begin(
            [
                Phase("move", down, self._rotation, CLOSE_GRIPPER, 0.008, 30),
                Phase("release", down, self._rotation, OPEN_GRIPPER, 0, 10),
                Phase("move", down + np.array([0, 0, APPROACH_HEIGHT]), self._rotation, OPEN_GRIPPER, 0.02, 30),
            ]
        )

    def _way_to(self, place: np.ndarray, obstacles, gripper: float, hangs: float, radius: float = 0.0) -> list[Phase]:
        """Up and across, where something stands between the hand and the place."""
        position, _ = self.arm.gripper_pose()
        highest = highest_between(obstacles, position, place, max(radius, _HAND_RADIUS))
        height = highest + hangs + 0.03
        if not height > min(position[2], place[2]) + 0.01:
            return []
        up = np.array([*position[:2], max(height, position[2])])
        over = np.array([*place[:2], max(height, place[2])])
        return [
            Phase("move", up, self._rotation, gripper, 0.03, 50),
            Phase("move", over, self._rotation, gripper, 0.03, 70),
        ]

    def _target(self, radius: float) -> tuple[np.ndarray, float]:
        """The point [3] to put the item at and the height of the target's highest edge thereabouts."""
        model, data = self._environment.model, self._environment.data
        site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, self._goal.target)
        owner = re.match(r"(.*_\d+)(_|$)", self._goal.target)
        body = f"{owner.group(1)}_main" if owner else ""
        has_body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, body) >= 0
        place = data.site_xpos[site].copy() if site >= 0 else data.body(body).xpos.copy()
        points = visible_points(model, data, body) if has_body else data.site_xpos[[site]]
        near = np.linalg.norm(points[:, :2] - place[:2], axis=1) < radius + 0.04
        return place, (points[near] if near.any() else points)[:, 2].max()
