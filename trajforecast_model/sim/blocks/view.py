"""What the camera of a block scene sees: its picture, and by casting rays the depth and the body at any pixel.

Rays meet the shapes themselves, so depth and masks need no OpenGL, and what is round is round.
"""

from collections.abc import Iterator
from contextlib import closing

import mujoco
import numpy as np

from trajforecast_model.sim.blocks.model import CAMERA, IMAGE_SIZE
from trajforecast_model.sim.scene.rendering import SceneRenderer
from trajforecast_model.sim.scene.states import body_poses, show_state

SKY_DEPTH = 1000.0  # metres; where a ray meets nothing


class BlockView:
    """A scene put into any of its states, seen by its camera, which never moves."""

    def __init__(self, model: mujoco.MjModel):
        self._model = model
        self._data = mujoco.MjData(model)
        mujoco.mj_forward(model, self._data)
        camera = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, CAMERA)
        self.camera_position = self._data.cam_xpos[camera].copy()  # [3]
        self.camera_rotation = self._data.cam_xmat[camera].reshape(3, 3).copy()  # camera to world
        self.field_of_view = float(model.cam_fovy[camera])  # vertical, degrees

    def show(self, state: np.ndarray) -> None:
        """Goes to a recorded state, [1 + nq + nv].

        Raises:
            ValueError: if the state does not belong to this scene.
        """
        show_state(self._model, self._data, state, "the scene")

    def image(self) -> np.ndarray:
        """RGB, uint8 [256, 256, 3]. With `video` the only thing here that needs OpenGL."""
        with self._renderer() as renderer:
            return renderer.image(self._data, CAMERA)

    def video(self, states: np.ndarray) -> Iterator[np.ndarray]:
        """The image of each recorded state [T, 1 + nq + nv] in turn."""
        with self._renderer() as renderer:
            for state in states:
                self.show(state)
                yield renderer.image(self._data, CAMERA)

    def _renderer(self) -> closing[SceneRenderer]:
        return closing(SceneRenderer(self._model, IMAGE_SIZE, cameras={CAMERA: CAMERA}, shadows=True))

    def cast_rays(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is first met at each pixel.

        Args:
            pixels: [..., 2]

        Returns:
            Depth along the optical axis, float64 [...] metres, and the body's id, int [...]; 0 is the floor or the sky.
        """
        height, width = IMAGE_SIZE
        at_depth_one = np.tan(np.deg2rad(self.field_of_view) / 2) * 2 / height  # metres a pixel
        x = (pixels[..., 0].ravel() - width / 2) * at_depth_one
        y = (height / 2 - pixels[..., 1].ravel()) * at_depth_one
        # Of depth 1, so that the distance in lengths of the ray is the depth.
        rays = np.stack([x, y, -np.ones(len(x))], axis=-1) @ self.camera_rotation.T
        geoms, depth = np.empty(len(rays), np.int32), np.empty(len(rays))
        mujoco.mj_multiRay(
            self._model, self._data, self.camera_position, rays.ravel(), None, 1, -1, geoms, depth, len(rays), SKY_DEPTH
        )
        bodies = np.where(geoms >= 0, self._model.geom_bodyid[geoms], 0)
        depth = np.where(geoms >= 0, depth, SKY_DEPTH)
        return depth.reshape(pixels.shape[:-1]), bodies.reshape(pixels.shape[:-1])

    def object_mask(self) -> np.ndarray:
        """uint8 [256, 256]: 0 where there is no object, 1 + i where object i is seen."""
        height, width = IMAGE_SIZE
        pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
        return self.cast_rays(pixels)[1].astype(np.uint8)

    def body_poses(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions [B, 3] and rotations [B, 3, 3] (body to world) of every body; body 0 is the world."""
        return body_poses(self._data)
