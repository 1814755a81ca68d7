"""Records cameras, instructions and forecasts into a bag, as `ros2 bag record` does.

Messages are written as they were received: nothing is decoded, nothing encoded. A timer looks which of the topics there
are, and of what type and quality of service, and subscribes to them so that every publisher's messages are taken.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidTopicNameException
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.validate_topic_name import validate_topic_name

from trajforecast_ros.recording.bag_writer import BagWriter, Received, Topic
from trajforecast_ros.recording.message_definitions import message_class, message_definition
from trajforecast_ros.recording.writer_thread import WriterThread
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning

LOOK_SECONDS = 0.1  # between two looks at which topics there are
REPORT_SECONDS = 10.0  # between two reports of losses, and until a silent camera is told of
END_SECONDS = 3.0  # that the queue may take to be written when the node ends
# In DDS's own memory, so not many: the callback takes a message at once.
DEPTH = 10

FORECASTS = ("predicted_tracks", "predicted_tracks/summary", "predicted_tracks/score")
INSTRUCTION = "forecast_node/instruction"


@dataclass(frozen=True)
class RecordParameters:
    output: str = field(default="", metadata=meaning("The bag's folder; it is made, and must be given"))
    views: list[str] = field(
        default_factory=lambda: ["side", "effector"], metadata=meaning("Cameras whose images are recorded")
    )
    queue_megabytes: int = field(
        default=256, metadata=meaning("What may wait in memory for the disk; more is left out", low=16, high=65536)
    )


class RecordNode(Node):
    """Raises ValueError or OSError when a parameter is no good or the bag cannot be made."""

    def __init__(self, **node_options):
        super().__init__("record_node", **node_options)
        chosen = declare(self, RecordParameters, read_only=True)
        if not chosen.output:
            raise ValueError("parameter output is empty; name the folder to record into")
        if not chosen.views:
            raise ValueError("parameter views is empty; name one or more cameras, as in [side, effector]")
        self._cameras = {view: self.resolve_topic_name(_image_topic(view)) for view in chosen.views}
        self._others = {self.resolve_topic_name(name) for name in (INSTRUCTION, *FORECASTS)}
        self._bag = BagWriter(Path(chosen.output).expanduser())
        self._writer = WriterThread(self._bag, chosen.queue_megabytes << 20)
        self._recorded: dict[tuple[str, str], _Recorded] = {}  # by topic and type
        self._not_recorded: set[tuple[str, str]] = set()
        self._silent: set[str] = set()  # views of which it was said
        self._reported = 0  # losses
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self.create_timer(LOOK_SECONDS, self._on_look, clock=steady)
        self.create_timer(REPORT_SECONDS, self._on_report, clock=steady)
        self.get_logger().info(f"recording into {self._bag.folder}")
        self._on_look()

    @property
    def failure(self) -> OSError | None:
        """What ended the recording, if something did."""
        return self._writer.failure

    def close(self) -> None:
        """Writes what is waiting, ends the bag and says what is in it."""
        for recorded in self._recorded.values():
            recorded.stop(self)
        self._writer.close(END_SECONDS)
        losses, failure, bag = self._losses(), self.failure, self._bag
        self.destroy_node()
        # A node's own logger complains of a context that is shut down, as it is after SIGINT.
        logger = get_logger("record_node")
        logger.info(f"recorded {bag.messages} messages of {len(self._recorded)} topics into {bag.folder}")
        if losses:
            logger.warning(f"lost: {_listed(losses)}")
        if failure:
            kept = f"; what came before is whole in {bag.folder}" if bag.folder.exists() else ""
            logger.error(f"the recording ended: {failure}{kept}")

    def _on_look(self) -> None:
        for name, types in self.get_topic_names_and_types():
            if self._is_wanted(name):
                for type_name in types:
                    self._listen(name, type_name)

    def _is_wanted(self, topic: str) -> bool:
        """A camera's images, raw or below them in any transport, its camera_info, or one of the others."""
        parent = topic.rsplit("/", 1)[0]
        cameras = self._cameras.values()
        return (
            topic in self._others
            or topic in cameras
            or parent in cameras
            or topic in {f"{camera.rsplit('/', 1)[0]}/camera_info" for camera in cameras}
        )

    def _listen(self, name: str, type_name: str) -> None:
        """Subscribes, and does so anew when the publishers' quality of service asks for it."""
        publishers = [each for each in self.get_publishers_info_by_topic(name) if each.topic_type == type_name]
        if not publishers or (name, type_name) in self._not_recorded:
            return
        profiles = tuple(each.qos_profile for each in publishers)
        recorded = self._recorded.get((name, type_name))
        if recorded is None:
            try:
                message_class(type_name)
            except LookupError as error:
                self._not_recorded.add((name, type_name))
                self.get_logger().error(f"{name} is not recorded: {error}")
                return
            topic = Topic(name, type_name, message_definition(type_name), _type_hash(publishers[0]), profiles)
            recorded = self._recorded[name, type_name] = _Recorded(topic)
            self.get_logger().info(f"recording {name} ({type_name})")
        recorded.publishers = len(publishers)
        reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in profiles)
        latched = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in profiles)
        if recorded.subscription is None or (reliable, latched) != recorded.quality:
            recorded.stop(self)
            recorded.quality = (reliable, latched)
            recorded.subscription = self.create_subscription(
                message_class(type_name),
                name,
                # rclpy looks at how many arguments there are, and gives the message's times as the second.
                lambda data, information: self._on_message(recorded, data, information),
                _quality(reliable, latched),
                raw=True,
            )

    def _on_message(self, recorded: "_Recorded", data: bytes, information: dict) -> None:
        recorded.count(information)
        now = self.get_clock().now().nanoseconds
        published = information.get("source_timestamp") or now
        self._writer.add(Received(recorded.topic, now, published, data))

    def _losses(self) -> dict[str, str]:
        """By topic: how many messages never came, and how many found the queue full."""
        on_the_way = Counter({each.topic.name: each.missing for each in self._recorded.values() if each.missing})
        left_out = self._writer.left_out.copy()
        texts = {}
        for name in sorted(on_the_way | left_out):
            reasons = {"on the way": on_the_way[name], "not written in time": left_out[name]}
            texts[name] = ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)
        return texts

    def _on_report(self) -> None:
        count = sum(self._writer.left_out.values()) + sum(each.missing for each in self._recorded.values())
        if count > self._reported:
            self._reported = count
            self.get_logger().warning(f"lost so far: {_listed(self._losses())}")
        heard = {parent for name, _ in self._recorded for parent in (name, name.rsplit("/", 1)[0])}
        for view, topic in self._cameras.items():
            if topic not in heard and view not in self._silent:
                self._silent.add(view)
                self.get_logger().warning(f"nobody publishes images of camera {view}, on {topic} or below it")


@dataclass
class _Recorded:
    """A topic that is being recorded."""

    topic: Topic
    subscription: Subscription | None = None
    quality: tuple[bool, bool] = (False, False)  # reliable, latched
    publishers: int = 0
    missing: int = 0  # messages that were published and never came
    last_number: int | None = None

    def count(self, information: dict) -> None:
        """Counts what is missing between two messages. Publishers number theirs, each by itself, so with several of them
        nothing can be told."""
        number = information.get("publication_sequence_number")
        if self.publishers == 1 and number is not None and self.last_number is not None:
            self.missing += max(number - self.last_number - 1, 0)
        self.last_number = number

    def stop(self, node: Node) -> None:
        if self.subscription is not None:
            node.destroy_subscription(self.subscription)
        self.subscription = self.last_number = None


def _image_topic(view: str) -> str:
    topic = f"{view}/image_raw"
    try:
        validate_topic_name(topic)
    except InvalidTopicNameException as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"parameter views: {view!r} cannot be part of a topic's name ({reason})") from error
    if not view:
        raise ValueError("parameter views has an empty name; name cameras, say [side, effector]")
    return topic


def _quality(reliable: bool, latched: bool) -> QoSProfile:
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _type_hash(publisher: TopicEndpointInfo) -> str:
    """RIHS01_..., or "" where the middleware does not say."""
    text = str(publisher.topic_type_hash)
    return text if text.startswith("RIHS") else ""


def _listed(losses: dict[str, str]) -> str:
    return "; ".join(f"{topic} {text}" for topic, text in losses.items())


COMMAND = Command("record_node", "Records cameras, instructions and forecasts into a bag.", RecordParameters)


def main(arguments: list[str] | None = None) -> int:
    nodes = []

    def make_node() -> RecordNode:
        nodes.append(RecordNode())
        return nodes[0]

    code = run(
        make_node,
        arguments,
        close=RecordNode.close,
        finished=lambda node: node.failure is not None,
        command=COMMAND,
    )
    return 2 if nodes and nodes[0].failure else code


if __name__ == "__main__":
    sys.exit(main())
