"""Where a camera is and how it projects: between pixels of its image and metres in the robot's world."""

from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo


@dataclass(frozen=True)
class Calibration:
    """A pinhole camera without distortion. Its frame is ROS's optical one: x right, y down, z forward.

    focal, centre: [2], pixels, (x, y); (0, 0) is the corner of the top-left pixel.
    position: [3], metres in the world; rotation: [3, 3], camera to world.
    """

    focal: np.ndarray
    centre: np.ndarray
    position: np.ndarray
    rotation: np.ndarray

    @classmethod
    def from_messages(cls, info: CameraInfo, pose: PoseStamped) -> "Calibration":
        k, position = info.k, pose.pose.position
        return cls(
            focal=np.array([k[0], k[4]]),
            # ROS counts from the centre of the top-left pixel.
            centre=np.array([k[2], k[5]]) + 0.5,
            position=np.array([position.x, position.y, position.z]),
            rotation=_rotation(pose.pose.orientation),
        )

    def project(self, point: np.ndarray) -> tuple[np.ndarray, float]:
        """A point [3] of the world to its pixel [2] and its depth in metres, which is negative behind the camera."""
        x, y, depth = self.rotation.T @ (point - self.position)
        return self.centre + self.focal * (x, y) / depth, float(depth)

    def lift_motion(self, motion: np.ndarray, depth: float) -> np.ndarray:
        """The motion [3] in the world, metres, that looks like `motion` [2], pixels, and stays at that depth."""
        x, y = motion / self.focal * depth
        return self.rotation @ np.array([x, y, 0.0])


def _rotation(quaternion) -> np.ndarray:
    """Matrix [3, 3] of a geometry_msgs/Quaternion of length 1."""
    vector = np.array([quaternion.x, quaternion.y, quaternion.z])
    cross = np.cross(vector, np.eye(3)).T
    return np.eye(3) + 2 * quaternion.w * cross + 2 * cross @ cross
