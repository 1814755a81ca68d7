"""An example policy: the gripper goes where the forecast says that it goes. Copy it as a start of your own.

It looks at the side view alone. Of the medoid track of the points around the gripper it takes the motion over the next
steps in pixels; with the camera's calibration and the gripper's depth that is a motion in metres, and an arm that
takes velocities can follow. What one view cannot tell it leaves alone: motion towards the camera and away from it,
turning the hand, opening and closing the fingers.
"""

import sys
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Float32MultiArray
from trajforecast_msgs.msg import TrackSummary

from trajforecast_ros.messages import SummaryArrays, nanoseconds, read_summary
from trajforecast_ros.policy.calibration import Calibration
from trajforecast_ros.qos import LATCHED, RESULT
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning

VIEW = "side"
# How far LIBERO's arm goes in a control step under a full action, once it is moving: measured, see docs/policy.md. (The
# controller's goal lies 0.05 m ahead; the arm does not reach it in 1/20 s.)
METRES_PER_STEP = 0.0125
RADIUS = 0.08  # of the gripper's region, in widths of the image


@dataclass(frozen=True)
class PolicyParameters:
    lookahead: int = field(default=4, metadata=meaning("Steps of the forecast whose motion counts", low=1))
    radius: float = field(
        default=RADIUS, metadata=meaning("Of the gripper's region, in widths of the image", low=0.001)
    )
    gain: float = field(default=1.0, metadata=meaning("Of the motion; 0 leaves the arm where it is", low=0.0))
    gripper: float = field(default=-1.0, metadata=meaning("Fingers: -1 open, 1 closed", low=-1.0))


class PolicyNode(Node):
    """Raises ValueError for a parameter out of range."""

    def __init__(self):
        super().__init__("policy_node")
        chosen = declare(self, PolicyParameters, read_only=True)
        self._lookahead, self._radius, self._gain = chosen.lookahead, chosen.radius, chosen.gain
        self._fingers = chosen.gripper
        self._camera_info = self._camera_pose = self._gripper = None
        self._answered = None  # the newest forecast's stamp
        self._actions = self.create_publisher(Float32MultiArray, "simulator_node/action", RESULT)
        self.create_subscription(CameraInfo, f"{VIEW}/camera_info", self._on_camera_info, LATCHED)
        self.create_subscription(PoseStamped, f"{VIEW}/camera_pose", self._on_camera_pose, LATCHED)
        self.create_subscription(PoseStamped, "gripper_pose", self._on_gripper, RESULT)
        self.create_subscription(TrackSummary, "predicted_tracks/summary", self._on_summary, RESULT)

    def _on_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message

    def _on_camera_pose(self, message: PoseStamped) -> None:
        self._camera_pose = message

    def _on_gripper(self, message: PoseStamped) -> None:
        self._gripper = message

    def _on_summary(self, message: TrackSummary) -> None:
        if self._camera_info is None or self._camera_pose is None or self._gripper is None:
            self.get_logger().info("waiting for camera_info, camera_pose and gripper_pose", once=True)
            return
        if nanoseconds(message.header) == self._answered:  # the same images, forecast again
            return
        forecast = read_summary(message)
        taken = dict(zip(forecast.views, forecast.stamps, strict=True)).get(VIEW, forecast.stamp)
        age = nanoseconds(self._gripper.header) / 1e9 - taken
        now = max(0, round(age / forecast.dt))  # the step of the forecast that the robot is at
        if VIEW not in forecast.views or now + self._lookahead >= forecast.min.shape[1]:
            self.get_logger().warning(
                f"left out a forecast of {', '.join(forecast.views)} that is {age:.2f} s old",
                throttle_duration_sec=5.0,
            )
            return
        self._answered = nanoseconds(message.header)
        position = self._gripper.pose.position
        camera = Calibration.from_messages(self._camera_info, self._camera_pose)
        pixel, depth = camera.project(np.array([position.x, position.y, position.z]))
        motion = gripper_motion(forecast, pixel, self._radius, now, now + self._lookahead)
        velocity = camera.lift_motion(motion, depth) / self._lookahead  # [3], metres a step
        move = np.clip(self._gain * velocity / METRES_PER_STEP, -1, 1)
        self._actions.publish(Float32MultiArray(data=[*move.tolist(), 0.0, 0.0, 0.0, self._fingers]))


def gripper_motion(forecast: SummaryArrays, gripper: np.ndarray, radius: float, start: int, end: int) -> np.ndarray:
    """How the medoid moves the gripper in the side view between two steps, [2] pixels.

    Around the gripper is background too, which stays; so the motion is the median of the half of the points that go
    farthest.

    Args:
        gripper: its pixel [2] at step `start`.
        radius: of the region around it, in widths of the image.
    """
    view = forecast.view_index(VIEW)
    tracks = forecast.min[view]  # [T, H, W, 2]
    width = forecast.image_sizes[view][1]
    near = np.linalg.norm(tracks[start] - gripper, axis=-1) < radius * width  # [H, W]
    if not near.any():
        return np.zeros(2)
    motion = (tracks[end] - tracks[start])[near]  # [N, 2]
    length = np.linalg.norm(motion, axis=-1)
    return np.median(motion[length >= np.median(length)], axis=0).astype(np.float64)


COMMAND = Command("policy_node", "An example policy: the gripper goes where the forecast says.", PolicyParameters)


def main(arguments: list[str] | None = None) -> int:
    return run(PolicyNode, arguments, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main())
