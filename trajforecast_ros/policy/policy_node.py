"""An example policy: the hand goes where the forecast says that it goes. Copy it as a start of your own.

Of the medoid tracks of the points around the gripper it takes the motion over the next steps, in the world, and an arm
that takes velocities can follow. With depth of the side view, or a second calibrated view that stands still, that is the
motion of the rigid hand (hand.py). With neither it is what one view tells: the motion across the line of sight, in pixels
at the gripper's depth. The fingers follow their own points in the wrist view.
"""

import sys
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from std_msgs.msg import Float32MultiArray
from trajforecast_msgs.msg import TrackSummary

from trajforecast_ros.every_publisher import EveryPublisher
from trajforecast_ros.messages import SummaryArrays, nanoseconds, read_summary
from trajforecast_ros.policy.hand import farthest_half, hand_motion, opening
from trajforecast_ros.policy.sight import Sight
from trajforecast_ros.qos import RESULT
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning

VIEW, WRIST = "side", "effector"
# How far LIBERO's arm goes, and how far it turns, in a control step under a full action, once it is moving: measured, see
# docs/policy.md. (The controller's goals lie 0.05 m and 0.5 rad ahead; the arm does not reach them in 1/20 s.)
METRES_PER_STEP = 0.0125
RADIANS_PER_STEP = 0.105
RADIUS = 0.08  # of the gripper's region, in widths of the image
# Where LIBERO's fingertips are in the wrist view, in widths and heights of the image, while the fingers are told to open
# and to close; the radius around them, and the change that counts, in widths.
FINGERTIPS = {-1.0: np.array([[0.24, 0.8], [0.76, 0.8]]), 1.0: np.array([[0.4, 0.8], [0.6, 0.8]])}
FINGERTIP_RADIUS, FINGER_MOTION = 0.06, 0.04


@dataclass(frozen=True)
class PolicyParameters:
    lookahead: int = field(default=4, metadata=meaning("Steps of the forecast whose motion counts", low=1))
    radius: float = field(
        default=RADIUS, metadata=meaning("Of the gripper's region, in widths of the image", low=0.001)
    )
    gain: float = field(default=1.0, metadata=meaning("Of the motion; 0 leaves the arm where it is", low=0.0))
    gripper: float = field(default=-1.0, metadata=meaning("Fingers: -1 open, 1 closed", low=-1.0))
    second_view: str = field(
        default="", metadata=meaning("Another view of the forecast whose camera is calibrated and stands still")
    )
    follow_fingers: bool = field(
        default=True, metadata=meaning("Fingers follow their points in the wrist view; false leaves them to gripper")
    )


class PolicyNode(Node):
    """Raises ValueError for a parameter out of range."""

    def __init__(self):
        super().__init__("policy_node")
        self._chosen = chosen = declare(self, PolicyParameters, read_only=True)
        if chosen.second_view == VIEW:
            raise ValueError(f"parameter second_view is {VIEW!r}, which is the first; name another view")
        self._fingers = chosen.gripper
        self._gripper: PoseStamped | None = None
        self._answered = None  # the newest forecast's stamp
        self._said: set[str] = set()
        self._actions = self.create_publisher(Float32MultiArray, "simulator_node/action", RESULT)
        self._sight = Sight(self, (VIEW, chosen.second_view) if chosen.second_view else (VIEW,))
        EveryPublisher(self, PoseStamped, "gripper_pose", self._on_gripper)
        self.create_subscription(TrackSummary, "predicted_tracks/summary", self._on_summary, RESULT)

    def _on_gripper(self, message: PoseStamped) -> None:
        self._gripper = message

    def _on_summary(self, message: TrackSummary) -> None:
        if self._gripper is None or self._sight.missing(VIEW):
            self.get_logger().info("waiting for camera_info, camera_pose and gripper_pose", once=True)
            return
        if nanoseconds(message.header) == self._answered:  # the same images, forecast again
            return
        try:
            forecast = read_summary(message)
        except ValueError as error:
            self._say_once(f"left out a forecast that cannot be read: {error}")
            return
        taken = dict(zip(forecast.views, forecast.stamps, strict=True)).get(VIEW, forecast.stamp)
        age = nanoseconds(self._gripper.header) / 1e9 - taken
        now = max(0, round(age / forecast.dt))  # the step of the forecast that the robot is at
        end = now + self._chosen.lookahead
        if VIEW not in forecast.views or end >= forecast.min.shape[1]:
            self.get_logger().warning(
                f"left out a forecast of {', '.join(forecast.views)} that is {age:.2f} s old",
                throttle_duration_sec=5.0,
            )
            return
        self._answered = nanoseconds(message.header)
        try:
            move = self._move(forecast, now, end)
        except ValueError as error:
            self._say_once(f"the arm stays: {error}")
            return
        if self._chosen.follow_fingers and self._chosen.second_view != WRIST:  # that one would not be on the hand
            self._follow_fingers(forecast, now, end)
        if self._actions.get_subscription_count() == 0:
            self._say_once(f"nobody listens to {self._actions.topic_name}, so nothing moves")
        self._actions.publish(Float32MultiArray(data=[*move.tolist(), self._fingers]))

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.get_logger().warning(text)

    def _move(self, forecast: SummaryArrays, now: int, end: int) -> np.ndarray:
        """[6] in [-1, 1]: how the arm is to go and to turn."""
        position = self._gripper.pose.position
        gripper = np.array([position.x, position.y, position.z])
        views = self._sight.at(nanoseconds(self._gripper.header))
        motion = hand_motion(forecast, views, gripper, now, end, self._chosen.radius)
        if motion is not None:
            shift, turn = motion.shift, motion.turn
        else:
            camera = views[VIEW].camera
            pixel, depth = camera.project(gripper)
            shift = camera.lift_motion(gripper_motion(forecast, pixel, self._chosen.radius, now, end), depth)
            turn = np.zeros(3)
        a_step = np.concatenate([shift / METRES_PER_STEP, turn / RADIANS_PER_STEP]) / (end - now)
        if not np.isfinite(a_step).all():
            raise ValueError("gripper_pose or a camera_pose has values that are not finite")
        return np.clip(self._chosen.gain * a_step, -1, 1)

    def _follow_fingers(self, forecast: SummaryArrays, now: int, end: int) -> None:
        tips = FINGERTIPS[1.0 if self._fingers > 0 else -1.0]
        change = opening(forecast, WRIST, tips, now, end, FINGERTIP_RADIUS)
        if change is not None and abs(change) > FINGER_MOTION:
            self._fingers = -1.0 if change > 0 else 1.0


def gripper_motion(forecast: SummaryArrays, gripper: np.ndarray, radius: float, start: int, end: int) -> np.ndarray:
    """How the medoid moves the gripper in the side view between two steps, [2] pixels: the median of what moves there.

    Args:
        gripper: its pixel [2] at step `start`.
        radius: of the region around it, in widths of the image.
    """
    view = forecast.view_index(VIEW)
    now, then = forecast.min[view, [start, end]]  # [H, W, 2]
    near = np.linalg.norm(now - gripper, axis=-1) < radius * forecast.image_sizes[view][1]
    moving = farthest_half(now, then, near)
    return np.median((then - now)[moving], axis=0).astype(np.float64) if moving.any() else np.zeros(2)


COMMAND = Command("policy_node", "An example policy: the hand goes where the forecast says.", PolicyParameters)


def main(arguments: list[str] | None = None) -> int:
    return run(PolicyNode, arguments, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main())
