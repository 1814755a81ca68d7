"""An example policy: the hand goes where the forecast says that it goes. Copy it as a start of your own.

What it hears becomes arrays, and `Follower` makes an action of them: of the medoid tracks of the points around the gripper
the motion over the next steps, in the world. With depth of the side view, or a second calibrated view that stands still,
that is the motion of the rigid hand; with neither what one view tells, the motion across the line of sight. The fingers
follow their own points in the wrist view.
"""

import sys
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from std_msgs.msg import Float32MultiArray
from trajforecast_msgs.msg import TrackSummary

from trajforecast_model.policy.follower import LOOKAHEAD, RADIUS, SIDE, Follower
from trajforecast_model.tracks.rigid.hand import ViewTracks
from trajforecast_ros.every_publisher import EveryPublisher
from trajforecast_ros.messages import nanoseconds, read_summary
from trajforecast_ros.policy.sight import Sight
from trajforecast_ros.qos import RESULT
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning


@dataclass(frozen=True)
class PolicyParameters:
    lookahead: int = field(default=LOOKAHEAD, metadata=meaning("Steps of the forecast whose motion counts", low=1))
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
        if chosen.second_view == SIDE:
            raise ValueError(f"parameter second_view is {SIDE!r}, which is the first; name another view")
        self._follower = Follower(chosen.radius, chosen.gain, chosen.gripper, chosen.follow_fingers)
        self._gripper: PoseStamped | None = None
        self._answered = None  # the newest forecast's stamp
        self._said: set[str] = set()
        self._actions = self.create_publisher(Float32MultiArray, "simulator_node/action", RESULT)
        self._sight = Sight(self, (SIDE, chosen.second_view) if chosen.second_view else (SIDE,))
        EveryPublisher(self, PoseStamped, "gripper_pose", self._on_gripper)
        self.create_subscription(TrackSummary, "predicted_tracks/summary", self._on_summary, RESULT)

    def _on_gripper(self, message: PoseStamped) -> None:
        self._gripper = message

    def _on_summary(self, message: TrackSummary) -> None:
        if self._gripper is None or self._sight.missing(SIDE):
            self.get_logger().info("waiting for camera_info, camera_pose and gripper_pose", once=True)
            return
        if nanoseconds(message.header) == self._answered:  # the same images, forecast again
            return
        try:
            forecast = read_summary(message)
        except ValueError as error:
            self._say_once(f"left out a forecast that cannot be read: {error}")
            return
        taken = dict(zip(forecast.views, forecast.stamps, strict=True)).get(SIDE, forecast.stamp)
        age = nanoseconds(self._gripper.header) / 1e9 - taken
        now = max(0, round(age / forecast.dt))  # the step of the forecast that the robot is at
        end = now + self._chosen.lookahead
        if SIDE not in forecast.views or end >= forecast.min.shape[1]:
            self.get_logger().warning(
                f"left out a forecast of {', '.join(forecast.views)} that is {age:.2f} s old",
                throttle_duration_sec=5.0,
            )
            return
        self._answered = nanoseconds(message.header)
        futures = {
            view: ViewTracks(medoid, size)
            for view, medoid, size in zip(forecast.views, forecast.min, forecast.image_sizes, strict=True)
        }
        position = self._gripper.pose.position
        gripper = np.array([position.x, position.y, position.z])
        try:
            views = self._sight.at(nanoseconds(self._gripper.header))
            action = self._follower.action(futures, views, gripper, now, end)
        except ValueError as error:
            self._say_once(f"the arm stays: {error}")
            return
        if self._actions.get_subscription_count() == 0:
            self._say_once(f"nobody listens to {self._actions.topic_name}, so nothing moves")
        self._actions.publish(Float32MultiArray(data=action.tolist()))

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.get_logger().warning(text)


COMMAND = Command("policy_node", "An example policy: the hand goes where the forecast says.", PolicyParameters)


def main(arguments: list[str] | None = None) -> int:
    return run(PolicyNode, arguments, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main())
