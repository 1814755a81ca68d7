"""The robot's arm as the scripted experts see and command it: the pose of its gripper, and deltas of it.

Commands are those of robosuite's OSC_POSE controller at 20 Hz: position and rotation in [-1, 1], and the gripper.
"""

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from trajforecast_model.sim.environment import TaskEnvironment

_FAR, _END = 0.66, 0.80  # metres from the robot's base
_LEAN_AT_THE_END = 0.5  # radians


class Arm:
    """Made where the gripper has its first pose, in which it points down."""

    def __init__(self, environment: TaskEnvironment):
        self._environment = environment
        self._grip_site = identifier(environment.model, mujoco.mjtObj.mjOBJ_SITE, "gripper0_grip_site")
        self._base = environment.data.xpos[
            identifier(environment.model, mujoco.mjtObj.mjOBJ_BODY, "robot0_base")
        ].copy()
        _, self.first_rotation = self.gripper_pose()
        self.closing_axis = self._finger_axis()

    def gripper_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] and rotation [3, 3] in the world."""
        data = self._environment.data
        return data.site_xpos[self._grip_site].copy(), data.site_xmat[self._grip_site].reshape(3, 3).copy()

    def fingers(self) -> np.ndarray:
        """Positions [2] of their joints, metres."""
        return self._environment.data.qpos[7:9].copy()

    def reaching(self, place: np.ndarray, yaw: float) -> np.ndarray:
        """The pose [3, 3] from above at a place, leaning outwards where it is so far that the straight arm would get stuck."""
        outwards = np.array([*(place - self._base)[:2], 0.0])
        distance = np.linalg.norm(outwards)
        lean = _LEAN_AT_THE_END * np.clip((distance - _FAR) / (_END - _FAR), 0, 1)
        straight = Rotation.from_euler("z", yaw).as_matrix() @ self.first_rotation
        return Rotation.from_rotvec(lean * np.cross([0, 0, -1], outwards / distance)).as_matrix() @ straight

    def high_over(self, place: np.ndarray, clearance: float) -> np.ndarray:
        """At least so high over a place, and not below where the gripper is."""
        position, _ = self.gripper_pose()
        return np.array([*place[:2], max(place[2] + clearance, position[2])])

    def leaning(self, direction: np.ndarray, lean: float, closing_along: bool) -> np.ndarray:
        """A pose [3, 3] whose fingers lean towards a direction [3] on the ground, radians from straight down.

        The fingers close along that direction or across it.
        """
        towards = direction[:2] if closing_along else np.array([-direction[1], direction[0]])
        angles = [np.arctan2(*(sign * towards)[::-1]) - np.arctan2(*self.closing_axis[::-1]) for sign in (1, -1)]
        yaw = min(((angle + np.pi) % (2 * np.pi) - np.pi for angle in angles), key=abs)
        forward = Rotation.from_rotvec(lean * np.cross([0, 0, -1], direction)).as_matrix()
        return forward @ Rotation.from_euler("z", yaw).as_matrix() @ self.first_rotation

    def _finger_axis(self) -> np.ndarray:
        """Direction [2] on the ground along which the fingers close in the first pose."""
        model, data = self._environment.model, self._environment.data
        left, right = (
            data.xpos[identifier(model, mujoco.mjtObj.mjOBJ_BODY, name)]
            for name in ("gripper0_leftfinger", "gripper0_rightfinger")
        )
        return (right - left)[:2]


def identifier(model, kind, name: str) -> int:
    """Raises ValueError where the scene has no such thing."""
    found = mujoco.mj_name2id(model, kind, name)
    if found < 0:
        raise ValueError(f"the scene has no {name!r}; the scripted expert needs it")
    return found
