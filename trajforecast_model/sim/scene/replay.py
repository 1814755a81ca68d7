"""Recorded states shown again: a demo's scene, put into any of its states, without simulating."""

import mujoco
import numpy as np

from trajforecast_model.sim.scene.assets import with_installed_assets
from trajforecast_model.sim.scene.mesh_thinning import thin_for_rendering
from trajforecast_model.sim.scene.rendering import SceneRenderer, camera_id
from trajforecast_model.sim.scene.states import body_poses, show_state


class Replay:
    """The scene of a `model_file` text. Loading takes seconds; showing a state, well under a millisecond.

    Args:
        image_size: (height, width) of images, depth and ids.
        supersampling: see SceneRenderer.

    Raises:
        ValueError: if the text is not an MJCF model or needs assets that are not installed.
    """

    def __init__(self, model_xml: str, image_size: tuple[int, int] = (128, 128), supersampling: int = 2):
        self._model = mujoco.MjModel.from_xml_string(with_installed_assets(model_xml))
        thin_for_rendering(self._model)
        self._data = mujoco.MjData(self._model)
        self._renderer = SceneRenderer(self._model, image_size, supersampling)

    def show(self, state: np.ndarray) -> None:
        """Goes to a recorded state, float [1 + nq + nv]: time, positions, velocities.

        Raises:
            ValueError: if the state does not belong to this model.
        """
        show_state(self._model, self._data, state, "the demo's model")

    def image(self, view: str) -> np.ndarray:
        """RGB, uint8 [H, W, 3], upright."""
        return self._renderer.image(self._data, view)

    def geometry(self, view: str) -> tuple[np.ndarray, np.ndarray]:
        """Depth in metres, float32 [H, W], and body ids, int32 [H, W], at the pixel centres."""
        return self._renderer.geometry(self._data, view)

    def body_poses(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions [B, 3] and rotations [B, 3, 3] (body to world) of every body."""
        return body_poses(self._data)

    def camera_pose(self, view: str) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] and rotation [3, 3] (camera to world; it looks along its -z, y is up)."""
        camera = camera_id(self._model, view)
        return self._data.cam_xpos[camera].copy(), self._data.cam_xmat[camera].reshape(3, 3).copy()

    def field_of_view(self, view: str) -> float:
        """Vertical, in degrees."""
        return float(self._model.cam_fovy[camera_id(self._model, view)])

    def close(self) -> None:
        self._renderer.close()
