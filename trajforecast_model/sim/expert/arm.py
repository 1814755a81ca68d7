"""The robot's arm as the scripted experts see and command it: the pose of its gripper, and deltas of it.

Commands are those of robosuite's OSC_POSE controller at 20 Hz: position and rotation in [-1, 1], and the gripper.
"""

import mujoco
import numpy as np

from trajforecast_model.sim.environment import TaskEnvironment


class Arm:
    """Made where the gripper has its first pose, in which it points down."""

    def __init__(self, environment: TaskEnvironment):
        self._environment = environment
        self._grip_site = identifier(environment.model, mujoco.mjtObj.mjOBJ_SITE, "gripper0_grip_site")
        _, self.first_rotation = self.gripper_pose()
        self.closing_axis = self._finger_axis()

    def gripper_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] and rotation [3, 3] in the world."""
        data = self._environment.data
        return data.site_xpos[self._grip_site].copy(), data.site_xmat[self._grip_site].reshape(3, 3).copy()

    def fingers(self) -> np.ndarray:
        """Positions [2] of their joints, metres."""
        return self._environment.data.qpos[7:9].copy()

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
