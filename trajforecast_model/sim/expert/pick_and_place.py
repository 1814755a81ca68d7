"""A scripted expert that picks one thing up and puts it in or on another, from the simulator's privileged state.

It commands robosuite's OSC_POSE controller at 20 Hz: deltas of position and rotation in [-1, 1] and the gripper.
"""

import dataclasses
import re

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from trajforecast_model.sim.environment import CLOSE_GRIPPER, OPEN_GRIPPER, Goal, TaskEnvironment
from trajforecast_model.sim.expert.grasping import Grasp, find_grasp, visible_points

METRES_PER_ACTION = 0.05
RADIANS_PER_ACTION = 0.5
RETRIES = 2
LIFTED = 0.03
APPROACH_HEIGHT = 0.08
CARRY_CLEARANCE = 0.05


@dataclasses.dataclass(frozen=True)
class Phase:
    """Go to `target` [3] with the gripper command `gripper`; done within `tolerance` metres or after `max_steps`."""

    kind: str  # "move", "close" or "release"
    target: np.ndarray
    gripper: float
    tolerance: float
    max_steps: int


class PickAndPlace:
    """Plans from the state at construction, then yields one action a control step until `done`.

    Args:
        rng: varies the speed, the approach, the place of release and a smooth disturbance of the motion, so that
            no two episodes look the same.
    """

    def __init__(self, environment: TaskEnvironment, goal: Goal, rng: np.random.Generator, disturbance: float = 0.05):
        self._environment = environment
        self._goal = goal
        self._rng = rng
        self._speed = rng.uniform(0.6, 1.0)
        self._disturbance = disturbance
        self._grip_site = _identifier(environment.model, mujoco.mjtObj.mjOBJ_SITE, "gripper0_grip_site")
        _, self._first_rotation = self._gripper_pose()
        self._closing_axis = self._finger_axis()
        self._tries = 0
        self.done = False
        self._plan()

    def act(self) -> np.ndarray:
        """The next action [7]."""
        phase = self._phases[self._phase_index]
        position, rotation = self._gripper_pose()
        position_error = phase.target - position
        rotation_error = Rotation.from_matrix(self._rotation @ rotation.T).as_rotvec()

        # Slow down for the last centimetres above the object.
        precise = phase.tolerance <= 0.008
        top_speed = self._speed * (0.5 if precise else 1.0)
        move = position_error / METRES_PER_ACTION
        move = move * min(1.0, top_speed / max(np.abs(move).max(), 1e-9))
        if phase.kind == "move" and not precise:
            self._drift = 0.8 * self._drift + self._rng.normal(0, self._disturbance, 3)
            move = move + self._drift
        turn = 1.5 * rotation_error / RADIANS_PER_ACTION

        self._advance(phase, np.linalg.norm(position_error), np.linalg.norm(rotation_error))
        return np.concatenate([np.clip(move, -1, 1), np.clip(turn, -0.5, 0.5), [phase.gripper]])

    def _plan(self) -> None:
        model, data = self._environment.model, self._environment.data
        self._item_body = _identifier(model, mujoco.mjtObj.mjOBJ_BODY, f"{self._goal.item}_main")
        self._height_before = data.xpos[self._item_body][2]
        points = visible_points(model, data, f"{self._goal.item}_main")
        grasp = find_grasp(points, self._closing_axis, self._obstacles(points[:, 2].min()), self._rng)
        self._rotation = Rotation.from_euler("z", grasp.yaw).as_matrix() @ self._first_rotation
        self._phases = self._phases_for(grasp)
        self._phase_index = 0
        self._steps_in_phase = 0
        self._drift = np.zeros(3)
        self._last_fingers = None

    def _phases_for(self, grasp: Grasp) -> list[Phase]:
        place, rim_height = self._target()
        carry_height = rim_height + grasp.height + CARRY_CLEARANCE
        # The object's centre, not the gripper, goes over the target.
        above_target = np.array([*(place[:2] + grasp.offset + self._rng.uniform(-0.01, 0.01, 2)), carry_height])
        jitter = [self._rng.uniform(-0.01, 0.01), self._rng.uniform(-0.01, 0.01), self._rng.uniform(0, 0.04)]
        above_item = grasp.position + np.array([0, 0, APPROACH_HEIGHT]) + jitter
        lifted = np.array([*grasp.position[:2], carry_height])
        into_basket = "basket" in self._goal.target
        lowered = above_target - [0, 0, min(CARRY_CLEARANCE, grasp.height) if into_basket else 0.045]
        release = above_target - [0, 0, CARRY_CLEARANCE if into_basket else 0.045]
        return [
            Phase("move", above_item, OPEN_GRIPPER, 0.015, 60),
            Phase("move", grasp.position, OPEN_GRIPPER, 0.006, 40),
            Phase("close", grasp.position, CLOSE_GRIPPER, 0, 30),
            Phase("move", lifted, CLOSE_GRIPPER, 0.02, 50),
            Phase("move", above_target, CLOSE_GRIPPER, 0.015, 70),
            Phase("move", lowered, CLOSE_GRIPPER, 0.01, 15),
            Phase("release", release, OPEN_GRIPPER, 0, 12),
            Phase("move", above_target + np.array([0, 0, 0.05]), OPEN_GRIPPER, 0.02, 12),
        ]

    def _advance(self, phase: Phase, distance: float, angle: float) -> None:
        self._steps_in_phase += 1
        fingers = self._environment.data.qpos[7:9].copy()
        still = self._last_fingers is not None and np.abs(fingers - self._last_fingers).max() < 2e-4
        self._last_fingers = fingers
        holding = still and self._steps_in_phase >= 8 and abs(fingers[0] - fingers[1]) < 0.074
        arrived = distance < phase.tolerance and angle < 0.12
        finished = (
            self._steps_in_phase >= phase.max_steps
            or (phase.kind == "close" and holding)
            or (phase.kind == "move" and arrived)
        )
        if not finished:
            return
        self._phase_index += 1
        self._steps_in_phase = 0
        just_lifted = self._phase_index == 4
        height = self._environment.data.xpos[self._item_body][2]
        if just_lifted and height < self._height_before + LIFTED and self._tries < RETRIES:
            self._tries += 1
            self._plan()
        self.done = self._phase_index >= len(self._phases)

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

    def _gripper_pose(self) -> tuple[np.ndarray, np.ndarray]:
        data = self._environment.data
        return data.site_xpos[self._grip_site].copy(), data.site_xmat[self._grip_site].reshape(3, 3).copy()

    def _finger_axis(self) -> np.ndarray:
        left, right = (
            self._environment.data.xpos[_identifier(self._environment.model, mujoco.mjtObj.mjOBJ_BODY, name)]
            for name in ("gripper0_leftfinger", "gripper0_rightfinger")
        )
        return (right - left)[:2]


def _identifier(model, kind, name: str) -> int:
    found = mujoco.mj_name2id(model, kind, name)
    if found < 0:
        raise ValueError(f"the scene has no {name!r}; the scripted expert needs it")
    return found
