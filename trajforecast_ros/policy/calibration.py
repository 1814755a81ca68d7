"""Where a camera is and how it projects, from its messages: between pixels of its image and metres in the robot's world."""

import numpy as np
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo

from trajforecast_model.tracks.rigid.pinhole import Pinhole


class Calibration(Pinhole):
    @classmethod
    def from_messages(cls, info: CameraInfo, pose: PoseStamped) -> "Calibration":
        """Raises ValueError for a camera that was never calibrated, whose camera_info has zeros."""
        focal, centre = intrinsics(info)
        position = pose.pose.position
        return cls(
            focal=focal,
            centre=centre,
            position=np.array([position.x, position.y, position.z]),
            rotation=rotation_matrix(pose.pose.orientation),
        )


def intrinsics(info: CameraInfo) -> tuple[np.ndarray, np.ndarray]:
    """Focal length [2] and centre [2], pixels; (0, 0) is the corner of the top-left pixel. Raises ValueError as above."""
    k = info.k
    if not (np.isfinite(k).all() and k[0] > 0 and k[4] > 0):
        raise ValueError(
            f"camera_info of {info.header.frame_id or 'a camera'} has the focal lengths {k[0]:g} and {k[4]:g}, so the "
            "camera is not calibrated; calibrate it"
        )
    # ROS counts from the centre of the top-left pixel.
    return np.array([k[0], k[4]]), np.array([k[2], k[5]]) + 0.5


def rotation_matrix(quaternion) -> np.ndarray:
    """Matrix [3, 3] of a geometry_msgs/Quaternion of length 1."""
    vector = np.array([quaternion.x, quaternion.y, quaternion.z])
    cross = np.cross(vector, np.eye(3)).T
    return np.eye(3) + 2 * quaternion.w * cross + 2 * cross @ cross
