"""What is to be seen of a running simulation: both cameras' images and depth, where the side camera is, where the gripper is."""

import copy
from dataclasses import dataclass

import mujoco
import numpy as np

from trajforecast_model.sim.cameras import VIEW_CAMERAS
from trajforecast_model.sim.environment import TaskEnvironment
from trajforecast_model.sim.scene.mesh_thinning import thin_for_rendering
from trajforecast_model.sim.scene.rendering import SceneRenderer, camera_id
from trajforecast_model.tracks.exact_tracks import focal_length
from trajforecast_model.tracks.rigid.pinhole import Pinhole

GRIP_SITE = "gripper0_grip_site"
ARM_JOINTS = 9  # of the Panda, which comes first in LIBERO's scenes: seven and two fingers
_OPTICAL = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras have y up and look along -z


@dataclass(frozen=True)
class Pose:
    """In the world: position [3] in metres, orientation [4] as a unit quaternion x, y, z, w."""

    position: np.ndarray
    orientation: np.ndarray


class LiveView:
    """Looks at an environment as it is at each call.

    Args:
        image_size: pixels of the square images' sides.

    Raises:
        ValueError: if the scene has no such cameras or no gripper.
    """

    views = tuple(VIEW_CAMERAS)

    def __init__(self, environment: TaskEnvironment, image_size: int = 128):
        self.image_size = image_size
        self._environment = environment
        # A copy: an expert looks for its grasp on the environment's own, full meshes.
        thinned = copy.copy(environment.model)
        thin_for_rendering(thinned)
        self._renderer = SceneRenderer(thinned, (image_size, image_size))
        self._grip_site = mujoco.mj_name2id(environment.model, mujoco.mjtObj.mjOBJ_SITE, GRIP_SITE)
        if self._grip_site < 0:
            raise ValueError(f"the scene has no {GRIP_SITE!r}; is it a LIBERO scene with a Panda arm?")

    def image(self, view: str) -> np.ndarray:
        """RGB, uint8 [H, W, 3], upright."""
        return self._renderer.image(self._environment.data, view)

    def depth(self, view: str) -> np.ndarray:
        """Along the optical axis, metres, float32 [H, W]."""
        return self._renderer.geometry(self._environment.data, view)[0]

    def gripper_pose(self) -> Pose:
        """Of the point between the fingertips."""
        data = self._environment.data
        return _pose(data.site_xpos[self._grip_site], data.site_xmat[self._grip_site].reshape(3, 3))

    def joints(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Of the arm and its fingers: names, positions (radians, metres) and velocities."""
        model, data = self._environment.model, self._environment.data
        names = [model.joint(number).name for number in range(ARM_JOINTS)]
        return names, data.qpos[:ARM_JOINTS].copy(), data.qvel[:ARM_JOINTS].copy()

    def camera_pose(self, view: str) -> Pose:
        """Of the view's optical frame, as ROS has it: x right, y down, z forward."""
        camera, data = camera_id(self._environment.model, view), self._environment.data
        return _pose(data.cam_xpos[camera], data.cam_xmat[camera].reshape(3, 3) @ _OPTICAL)

    def camera(self, view: str) -> Pinhole:
        """The view's camera as it stands now."""
        number, data = camera_id(self._environment.model, view), self._environment.data
        return Pinhole(
            focal=np.full(2, self.focal_length(view)),
            centre=np.full(2, self.image_size / 2),
            position=data.cam_xpos[number].copy(),
            rotation=data.cam_xmat[number].reshape(3, 3) @ _OPTICAL,
        )

    def focal_length(self, view: str) -> float:
        """In pixels; the same for x and y."""
        model = self._environment.model
        return float(focal_length(model.cam_fovy[camera_id(model, view)], self.image_size))

    def close(self) -> None:
        self._renderer.close()


def _pose(position: np.ndarray, rotation: np.ndarray) -> Pose:
    w_first = np.empty(4)
    mujoco.mju_mat2Quat(w_first, rotation.flatten())
    return Pose(position.copy(), np.roll(w_first, -1))
