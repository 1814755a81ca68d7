"""A trained policy on forecasts: pictures, joints, the instruction and the forecast's summary in, actions out.

What it needs and does not get, or gets as nonsense, is said once, and the arm stays until it is there again.
"""

import sys
import time
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float32MultiArray, String
from std_srvs.srv import Trigger
from trajforecast_msgs.msg import TrackSummary

from trajforecast_model.policy.policy import FINGERS, JOINTS, Futures, Policy
from trajforecast_ros.every_publisher import EveryPublisher
from trajforecast_ros.images import ImageRefused, to_rgb
from trajforecast_ros.messages import nanoseconds, read_summary
from trajforecast_ros.policy.acting import Acting, Moment
from trajforecast_ros.qos import EVERY_IMAGE, RESULT
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning

LIBERO_JOINTS = (
    *(f"robot0_joint{number}" for number in range(1, JOINTS + 1)),
    "gripper0_finger_joint1",
    "gripper0_finger_joint2",
)
_REMEMBERED = 40  # messages of each camera and of the joints
_LOOK_AROUND = 0.1  # seconds between two looks at what is silent


@dataclass(frozen=True)
class TrackPolicyParameters:
    policy: str = field(
        default="", metadata=meaning("Folder of `trajforecast train policy`, or a shipped policy's name")
    )
    forecaster: str = field(
        default="", metadata=meaning("Folder of the forecaster it was trained with; empty: where it was in training")
    )
    device: str = field(default="cpu", metadata=meaning("Where the networks run: cpu, cuda, cuda:1"))
    lockstep: bool = field(
        default=False, metadata=meaning("The world waits for each action, so a forecast that is due is waited for")
    )
    max_forecast_age: float = field(
        default=0.5, metadata=meaning("Seconds that a forecast's images may be older than the newest ones", low=0.0)
    )
    max_skew: float = field(
        default=0.03, metadata=meaning("Seconds that images and joints of a moment may lie apart", low=0.0)
    )
    silence: float = field(
        default=0.5,
        metadata=meaning("Seconds of wall time without an action after which the arm is told to stay", low=0.05),
    )
    joint_names: list[str] = field(
        default_factory=lambda: list(LIBERO_JOINTS),
        metadata=meaning("Of seven joints and two fingers in joint_states, in the order of the demos"),
    )


class TrackPolicyNode(Node):
    """Raises ValueError for a parameter out of range, and where the policy or its forecaster is missing."""

    def __init__(self):
        super().__init__("track_policy_node")
        chosen = declare(self, TrackPolicyParameters, read_only=True)
        if not chosen.policy:
            raise ValueError("parameter policy is empty; give the folder of `trajforecast train policy`")
        if len(chosen.joint_names) != JOINTS + FINGERS:
            raise ValueError(
                f"parameter joint_names has {len(chosen.joint_names)} names; expected {JOINTS} joints and {FINGERS} fingers"
            )
        self._chosen = chosen
        self._policy = Policy.from_pretrained(chosen.policy, chosen.forecaster or None, chosen.device)
        self._acting = Acting(self._policy, chosen.lockstep, chosen.max_forecast_age)
        self._instruction = ""
        self._images: dict[str, deque[Image]] = {}
        self._joints: deque[JointState] = deque(maxlen=_REMEMBERED)
        self._said: set[str] = set()
        self._acted_at = time.monotonic()
        self._holding = False
        self._actions = self.create_publisher(Float32MultiArray, "simulator_node/action", RESULT)
        for view in self._policy.config.views:
            images = self._images[view] = deque(maxlen=_REMEMBERED)
            self.create_subscription(Image, f"{view}/image_raw", self._keeping(images), EVERY_IMAGE)
        self.create_subscription(JointState, "joint_states", self._keeping(self._joints), EVERY_IMAGE)
        EveryPublisher(self, String, "forecast_node/instruction", self._on_instruction)
        if self._policy.needs_tracks:
            self.create_subscription(TrackSummary, "predicted_tracks/summary", self._on_summary, RESULT)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_timer(_LOOK_AROUND, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(
            f"policy {chosen.policy}, tracks: {self._policy.config.tracks}, forecaster {self._policy.forecaster.model_id}"
        )

    def _keeping(self, messages: deque):
        def keep(message) -> None:
            messages.append(message)
            self._try_to_see()
            self._try_to_act()

        return keep

    def _on_instruction(self, message: String) -> None:
        self._instruction = message.data.strip()

    def _on_summary(self, message: TrackSummary) -> None:
        known = self._policy.forecaster.model_id
        if message.model_id != known:
            self._say_once(f"left out forecasts of {message.model_id!r}: the policy was trained with {known!r}")
            return
        try:
            forecast = read_summary(message)
        except ValueError as error:
            self._say_once(f"left out a forecast that cannot be read: {error}")
            return
        futures = {
            view: Futures(medoid, mean, size)
            for view, medoid, mean, size in zip(
                forecast.views, forecast.min, forecast.mean_t, forecast.image_sizes, strict=True
            )
        }
        if (refused := self._acting.hear(nanoseconds(message.header), futures)) is not None:
            self._say_once(f"left out: {refused}")
            return
        self._try_to_act()

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        for messages in (*self._images.values(), self._joints):
            messages.clear()
        self._acting.reset()
        response.success = True
        return response

    def _try_to_see(self) -> None:
        """The newest images of all cameras with the joints of their time, once they are there."""
        if not all(self._images.values()):
            return
        newest = [images[-1] for images in self._images.values()]
        stamps = [nanoseconds(image.header) for image in newest]
        stamp, skew = max(stamps), self._chosen.max_skew * 1e9
        joints = min(self._joints, key=lambda felt: abs(nanoseconds(felt.header) - stamp), default=None)
        if joints is None or stamp - min(stamps) > skew or abs(nanoseconds(joints.header) - stamp) > skew:
            return
        body = self._body(joints)
        images = self._pictures(newest)
        if body is not None and images is not None:
            self._acting.see(Moment(stamp, images, body[:JOINTS], body[JOINTS:]))

    def _pictures(self, newest: list[Image]) -> dict[str, np.ndarray] | None:
        pictures = {}
        for view, image in zip(self._images, newest, strict=True):
            try:
                pictures[view] = to_rgb(image)
            except ImageRefused as error:
                self._say_once(f"the arm stays: the image of {view} cannot be used: {error}")
                return None
        return pictures

    def _body(self, joints: JointState) -> np.ndarray | None:
        """[9] by the names that were asked for."""
        positions = dict(zip(joints.name, joints.position, strict=False))
        if missing := [name for name in self._chosen.joint_names if name not in positions]:
            self._say_once(f"joint_states lacks {', '.join(missing)}; the arm stays. Set the parameter joint_names")
            return None
        body = np.array([positions[name] for name in self._chosen.joint_names])
        if not np.isfinite(body).all():
            self._say_once("joint_states has values that are not finite; the arm stays")
            return None
        return body

    def _try_to_act(self) -> None:
        if not self._instruction:
            return
        try:
            action = self._acting.action(self._instruction)
        except ValueError as error:
            self._say_once(f"the arm stays: {error}")
            return
        if action is None:
            return
        if self._actions.get_subscription_count() == 0:
            self._say_once(f"nobody listens to {self._actions.topic_name}, so nothing moves")
        elif self._holding:
            self._holding = False
            self._said.clear()  # all is well again
        self._acted_at = time.monotonic()
        self._publish(action)

    def _publish(self, action: np.ndarray) -> None:
        self._actions.publish(Float32MultiArray(data=action.tolist()))

    def _look_around(self) -> None:
        if time.monotonic() - self._acted_at < self._chosen.silence:
            return
        self._say_once(f"no action for {self._chosen.silence:g} s: {self._what_is_missing()}; the arm stays")
        if (
            not self._holding and not self._chosen.lockstep
        ):  # there the world stands still, and an action would move it on
            self._publish(self._acting.hold())
        self._holding = True

    def _what_is_missing(self) -> str:
        if not self._instruction:
            return "no instruction"
        if silent := [view for view, images in self._images.items() if not images]:
            return f"no image of {' and '.join(silent)}"
        if not self._joints:
            return "no joint_states"
        if self._body(self._joints[-1]) is None:
            return "joint_states cannot be used"
        newest = {view: nanoseconds(images[-1].header) for view, images in self._images.items()}
        newest["joint_states"] = nanoseconds(self._joints[-1].header)
        behind = [name for name, stamp in newest.items() if max(newest.values()) - stamp > self._chosen.max_skew * 1e9]
        if behind:
            return f"{' and '.join(behind)} fell silent"
        return "no new images that can be used, or no fresh forecast of them"

    def _say_once(self, text: str) -> None:
        """Until all is well again."""
        if text not in self._said:
            self._said.add(text)
            self.get_logger().warning(text)


COMMAND = Command("track_policy_node", "A trained policy on forecasts: it solves tasks.", TrackPolicyParameters)


def main(arguments: list[str] | None = None) -> int:
    return run(TrackPolicyNode, arguments, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main())
