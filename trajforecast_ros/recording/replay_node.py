"""Plays a bag, or a recorded episode, onto the camera topics, as the cameras did, and says the instruction.

An episode's stamps count in its own time from `start_stamp`, whatever the playing speed. A bag's are those that were
recorded.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from trajforecast_model.bags.places import ENDS
from trajforecast_model.data.episode import Episode
from trajforecast_ros.images import to_message
from trajforecast_ros.qos import EVERY_IMAGE, LATCHED
from trajforecast_ros.recording.message_definitions import message_class
from trajforecast_ros.resources import shipped_episode
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning

CAMERA_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INSTRUCTION = "forecast_node/instruction"
WAITING_SECONDS = 0.05  # between two looks whether the subscribers are there
LONGEST_WAIT = 100_000_000  # nanoseconds
PAUSE = 100_000_000  # nanoseconds between two rounds of a bag


@dataclass(frozen=True)
class ReplayParameters:
    episode: str = field(default="", metadata=meaning("A bag, or an episode file; empty plays the shipped episode"))
    loop: bool = field(default=True, metadata=meaning("Whether to play again, or to end after the last message"))
    speed: float = field(default=1.0, metadata=meaning("1.0 is real time; stamps count in the episode's own time"))
    wait_for_subscribers: int = field(default=1, metadata=meaning("Start when every camera topic has this many", low=0))
    start_stamp: int = field(
        default=0, metadata=meaning("Stamp of an episode's first frame, nanoseconds; 0 is now", low=0)
    )


class Moment(NamedTuple):
    """A message that is to be published."""

    time: int  # nanoseconds since the beginning
    publisher: Publisher
    message: object  # or its serialized bytes


class EpisodePlayer:
    """pause: nanoseconds between the last moment and the first of the next round.

    Raises ValueError or OSError when the episode cannot be read.
    """

    def __init__(self, node: Node, path: Path, start_stamp: int):
        self._node = node
        self._episode = Episode.load(path)
        self._start = start_stamp
        self._length = min(len(frames) for frames in self._episode.frames.values())
        self._publishers = {
            view: node.create_publisher(Image, f"{view}/image_raw", EVERY_IMAGE) for view in self._episode.frames
        }
        self._instruction = node.create_publisher(String, INSTRUCTION, LATCHED)
        self._instruction.publish(String(data=self._episode.instruction))
        self.cameras = list(self._publishers.values())
        self.pause = round(self._episode.dt * 1e9)
        self.description = f"{self._length} frames: {self._episode.instruction}"

    def moments(self) -> Iterator[Moment]:
        start = self._start or self._node.get_clock().now().nanoseconds
        self._start = 0  # a second round begins when it begins
        for index in range(self._length):
            since = round(index * self._episode.dt * 1e9)
            stamp = Time(nanoseconds=start + since).to_msg()
            for view, publisher in self._publishers.items():
                header = Header(stamp=stamp, frame_id=f"{view}_camera_optical_frame")
                yield Moment(since, publisher, to_message(self._episode.frames[view][index], header))


class BagPlayer:
    """Plays every topic of a bag but forecasts, which the forecast node makes anew, and says the instruction that its
    recorder noted, where none was recorded.

    Raises:
        ValueError: when it is no bag that can be read, or there is nothing to play in it.
    """

    def __init__(self, node: Node, path: Path):
        try:
            from trajforecast_model.bags.bag import Bag
        except ImportError as error:
            raise ValueError(
                f'playing a bag takes the extra bags: pip install "trajforecast[bags]" ({error})'
            ) from error
        self._bag = Bag(path)
        if self._bag.cut_off:
            node.get_logger().warning(f"{', '.join(self._bag.cut_off)} is cut off; what is whole of it is played")
        if self._bag.missing:
            node.get_logger().warning(f"{', '.join(self._bag.missing)} is missing; the bag's other files are played")
        self._publishers: dict[str, Publisher] = {}
        self.cameras: list[Publisher] = []
        for topic in self._bag.topics.values():
            if topic.type_name.startswith("trajforecast_msgs/"):
                continue
            try:
                kind = message_class(topic.type_name)
            except LookupError as error:
                node.get_logger().warning(f"{topic.name} is not played: {error}")
                continue
            publisher = node.create_publisher(kind, topic.name, LATCHED if topic.latched else EVERY_IMAGE)
            self._publishers[topic.name] = publisher
            if topic.type_name in CAMERA_TYPES:
                self.cameras.append(publisher)
        if not self.cameras:
            there = ", ".join(f"{topic.name} ({topic.type_name})" for topic in self._bag.topics.values())
            raise ValueError(f"{path} has no images to play; it has {there or 'nothing'}")
        self.pause = PAUSE
        self.description = ", ".join(self._publishers)
        noted = self._bag.instruction
        if noted and not any(topic.endswith(f"/{INSTRUCTION}") for topic in self._publishers):
            self._instruction = node.create_publisher(String, INSTRUCTION, LATCHED)
            self._instruction.publish(String(data=noted))
            self.description += f": {noted}"

    def moments(self) -> Iterator[Moment]:
        start = None
        for message in self._bag.messages(self._publishers):
            if start is None:
                start = message.time
            yield Moment(max(message.time - start, 0), self._publishers[message.topic], message.data)


class ReplayNode(Node):
    """Raises ValueError or OSError when there is nothing that can be played."""

    def __init__(self):
        super().__init__("replay_node")
        chosen = declare(self, ReplayParameters, read_only=True)
        self._loop, self._speed, self._wait_for = chosen.loop, chosen.speed, chosen.wait_for_subscribers
        if not self._speed > 0:
            raise ValueError(f"parameter speed is {self._speed}; it must be above 0, and 1.0 is real time")
        path = Path(chosen.episode).expanduser() if chosen.episode else shipped_episode()
        self._player = _player(self, path, chosen.start_stamp)
        self._moments: Iterator[Moment] | None = None  # once the first is due
        self._next: Moment | None = None
        self._began = 0  # nanoseconds of the clock below
        self.finished = False  # when the last message has been published and nothing follows
        self.failure: ValueError | None = None
        # Simulated time may stand still, and may be what is played.
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(WAITING_SECONDS, self._on_timer, clock=self._clock)

    def _on_timer(self) -> None:
        if self._moments is None and not self._is_everybody_there():
            topics = ", ".join(publisher.topic_name for publisher in self._player.cameras)
            self.get_logger().info(f"waiting for {self._wait_for} subscribers on each of {topics}", once=True)
            return
        try:
            if self._moments is None:
                self.get_logger().info(f"playing at {self._speed:g} x: {self._player.description}")
                self._begin(self._clock.now().nanoseconds)
            self._play_what_is_due()
        except ValueError as error:
            self.get_logger().error(str(error))
            self.failure = error
            self._finish()

    def _begin(self, now: int) -> None:
        self._began = now
        self._moments = self._player.moments()
        self._next = next(self._moments, None)

    def _play_what_is_due(self) -> None:
        while self._next is not None:
            wait = self._began + round(self._next.time / self._speed) - self._clock.now().nanoseconds
            if wait > 0:
                self._timer.timer_period_ns = min(wait, LONGEST_WAIT)
                self._timer.reset()
                return
            last = self._next
            last.publisher.publish(last.message)
            self._next = next(self._moments, None)
            if self._next is None and self._loop:
                self._begin(self._began + round((last.time + self._player.pause) / self._speed))
        self._finish()

    def _finish(self) -> None:
        self._timer.cancel()
        for publisher in self._player.cameras:
            publisher.wait_for_all_acked(Duration(seconds=5))
        self.finished = True

    def _is_everybody_there(self) -> bool:
        return all(publisher.get_subscription_count() >= self._wait_for for publisher in self._player.cameras)


def _player(node: Node, path: Path, start_stamp: int) -> EpisodePlayer | BagPlayer:
    if path.is_dir() or path.name.endswith(ENDS):
        return BagPlayer(node, path)
    return EpisodePlayer(node, path, start_stamp)


COMMAND = Command("replay_node", "Plays a bag, or a recorded episode, onto the camera topics.", ReplayParameters)


def main(arguments: list[str] | None = None) -> int:
    nodes = []

    def make_node() -> ReplayNode:
        nodes.append(ReplayNode())
        return nodes[0]

    code = run(make_node, arguments, finished=lambda node: node.finished, command=COMMAND)
    return 2 if nodes and nodes[0].failure else code


if __name__ == "__main__":
    sys.exit(main())
