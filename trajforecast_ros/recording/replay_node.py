"""Plays a recorded episode onto the camera topics, as two cameras would, and says the instruction.

Stamps count in the episode's own time from `start_stamp`, whatever the playing speed, as a bag's do.
"""

import sys
from dataclasses import dataclass, field

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from trajforecast_model.data.episode import Episode
from trajforecast_ros.images import to_message
from trajforecast_ros.qos import EVERY_IMAGE, LATCHED
from trajforecast_ros.resources import shipped_episode
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning


@dataclass(frozen=True)
class ReplayParameters:
    episode: str = field(default="", metadata=meaning("Episode file; empty plays the shipped one"))
    loop: bool = field(default=True, metadata=meaning("Whether to play again, or to end after the last frame"))
    speed: float = field(default=1.0, metadata=meaning("1.0 is real time; stamps count in the episode's own time"))
    wait_for_subscribers: int = field(default=1, metadata=meaning("Start when every camera topic has this many", low=0))
    start_stamp: int = field(default=0, metadata=meaning("Stamp of the first frame, nanoseconds; 0 is now", low=0))


class ReplayNode(Node):
    """Raises ValueError or OSError when the episode cannot be read."""

    def __init__(self):
        super().__init__("replay_node")
        chosen = declare(self, ReplayParameters, read_only=True)
        self._loop, self._speed, self._wait_for = chosen.loop, chosen.speed, chosen.wait_for_subscribers
        self._start = chosen.start_stamp or self.get_clock().now().nanoseconds
        if not self._speed > 0:
            raise ValueError(f"parameter speed is {self._speed}; it must be above 0, and 1.0 is real time")
        self._episode = Episode.load(chosen.episode or shipped_episode())
        self._cameras = {
            view: self.create_publisher(Image, f"{view}/image_raw", EVERY_IMAGE) for view in self._episode.frames
        }
        self._instruction_publisher = self.create_publisher(String, "forecast_node/instruction", LATCHED)
        self._instruction_publisher.publish(String(data=self._episode.instruction))
        self._next = 0
        self._length = min(len(frames) for frames in self._episode.frames.values())
        self._finished = False
        self._timer = self.create_timer(self._episode.dt / self._speed, self._on_timer)

    @property
    def finished(self) -> bool:
        """Whether the last frame has been published and nothing follows."""
        return self._finished

    def _on_timer(self) -> None:
        if self._next == 0 and not self._is_everybody_there():
            text = f"waiting for {self._wait_for} subscribers on each of {', '.join(self._cameras)}"
            self.get_logger().info(text, once=True)
            return
        if self._next == 0:
            self.get_logger().info(f"playing {self._length} frames at {self._speed:g} x: {self._episode.instruction}")
        stamp = Time(nanoseconds=self._start + round(self._next * self._episode.dt * 1e9)).to_msg()
        for view, publisher in self._cameras.items():
            header = Header(stamp=stamp, frame_id=f"{view}_camera_optical_frame")
            publisher.publish(to_message(self._episode.frames[view][self._next], header))
        self._next += 1
        if self._next == self._length and self._loop:
            self._next = 0
            self._wait_for = 0
            self._start = self.get_clock().now().nanoseconds
        elif self._next == self._length:
            self._timer.cancel()
            for publisher in self._cameras.values():
                publisher.wait_for_all_acked(Duration(seconds=5))
            self._finished = True

    def _is_everybody_there(self) -> bool:
        publishers = self._cameras.values()
        return all(publisher.get_subscription_count() >= self._wait_for for publisher in publishers)


COMMAND = Command("replay_node", "Plays a recorded episode onto the camera topics.", ReplayParameters)


def main(arguments: list[str] | None = None) -> int:
    return run(ReplayNode, arguments, finished=lambda node: node.finished, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main())
