"""A camera that is calibrated: between pixels of its image and metres in the world."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pinhole:
    """A pinhole camera without distortion. Its frame is ROS's optical one: x right, y down, z forward.

    focal, centre: [2], pixels, (x, y); (0, 0) is the corner of the top-left pixel.
    position: [3], metres in the world; rotation: [3, 3], camera to world.
    """

    focal: np.ndarray
    centre: np.ndarray
    position: np.ndarray
    rotation: np.ndarray

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points [..., 3] of the world to their pixels [..., 2] and their depth [...] in metres, negative behind the
        camera."""
        seen = (points - self.position) @ self.rotation
        depth = seen[..., 2]
        return self.centre + self.focal * seen[..., :2] / depth[..., None], depth

    def lift(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] with their depth [...] to points [..., 3] of the world."""
        depth = np.asarray(depth)[..., None]
        ahead = np.concatenate([(pixels - self.centre) / self.focal * depth, depth], axis=-1)
        return self.position + ahead @ self.rotation.T

    def lift_motion(self, motion: np.ndarray, depth: float) -> np.ndarray:
        """The motion [3] in the world, metres, that looks like `motion` [2], pixels, and stays at that depth."""
        x, y = motion / self.focal * depth
        return self.rotation @ np.array([x, y, 0.0])
