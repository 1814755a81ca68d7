"""Records camera images and the forecasts made from them, each to a file as it comes; see recording.py.

As rosbag2 does, it asks for reliable delivery and takes best effort from a topic where a publisher offers no more.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind
from sensor_msgs.msg import Image
from trajforecast_msgs.msg import PredictedTracks, TrackSummary

from trajforecast_ros.images import ImageRefused, to_rgb
from trajforecast_ros.messages import nanoseconds, read_summary, read_tracks
from trajforecast_ros.qos import EVERYTHING, EVERYTHING_THAT_ARRIVES
from trajforecast_ros.recording.folder import RecordedForecast, Recording
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command
from trajforecast_ros.starting.parameters import declare, meaning

# Tracks come just before their summary or, since DDS keeps no order among topics, after it. Older ones are given up.
MAX_WAITING = 4
# Images whose arrival is remembered for the latency of their forecast.
MAX_ARRIVALS = 1000


@dataclass(frozen=True)
class RecordParameters:
    output: str = field(default="", metadata=meaning("Folder to record into; it is made, and must be given"))
    views: list[str] = field(
        default_factory=lambda: ["side", "effector"], metadata=meaning("Cameras whose images are recorded")
    )


class RecordNode(Node):
    """Raises ValueError or OSError when there is no folder to record into."""

    def __init__(self, **node_options):
        super().__init__("record_node", **node_options)
        chosen = declare(self, RecordParameters, read_only=True)
        if not chosen.output:
            raise ValueError("parameter output is empty; name the folder to record into")
        Path(chosen.output).mkdir(parents=True, exist_ok=True)
        self._recording = Recording(chosen.output)
        self._arrivals: dict[int, float] = {}  # by stamp
        self._tracks: dict[tuple[int, float], tuple[PredictedTracks, float]] = {}  # and when they arrived
        self._summaries: dict[tuple[int, float], TrackSummary] = {}
        for view in chosen.views:
            self._record(Image, f"{view}/image_raw", partial(self._on_image, view))
        self._record(PredictedTracks, "predicted_tracks", self._on_tracks)
        self._record(TrackSummary, "predicted_tracks/summary", self._on_summary)

    def _record(self, message_type: type, topic: str, callback: Callable) -> None:
        def take_what_is_offered(event) -> None:
            nonlocal subscription
            if QoSPolicyKind(event.last_policy_kind) is QoSPolicyKind.RELIABILITY:
                self.destroy_subscription(subscription)
                subscription = self.create_subscription(message_type, topic, callback, EVERYTHING_THAT_ARRIVES)

        events = SubscriptionEventCallbacks(incompatible_qos=take_what_is_offered)
        subscription = self.create_subscription(message_type, topic, callback, EVERYTHING, event_callbacks=events)

    def _on_image(self, view: str, message: Image) -> None:
        stamp = nanoseconds(message.header)
        if stamp:
            self._arrivals[stamp] = time.monotonic()
            _forget_oldest(self._arrivals, MAX_ARRIVALS)
        try:
            self._recording.write_image(view, stamp or self._now(), to_rgb(message))
        except ImageRefused as error:
            self.get_logger().error(f"images of camera {view} are not recorded: {error}", once=True)

    def _on_tracks(self, message: PredictedTracks) -> None:
        self._tracks[_identity(message)] = (message, time.monotonic())
        self._write_if_whole(message)
        _forget_oldest(self._tracks, MAX_WAITING)

    def _on_summary(self, message: TrackSummary) -> None:
        self._summaries[_identity(message)] = message
        self._write_if_whole(message)
        for stamp, _ in _forget_oldest(self._summaries, MAX_WAITING):
            self.get_logger().error(f"a summary came without its tracks, stamp {stamp} ns")

    def _write_if_whole(self, message: PredictedTracks | TrackSummary) -> None:
        identity, stamp = _identity(message), nanoseconds(message.header)
        if identity not in self._tracks or identity not in self._summaries:
            return
        tracks_message, arrived = self._tracks.pop(identity)
        tracks, summary = read_tracks(tracks_message), read_summary(self._summaries.pop(identity))
        self._recording.write_forecast(
            RecordedForecast(
                stamp=stamp or self._now(),
                views=tracks.views,
                tracks=tracks.tracks,
                mean_t=summary.mean_t,
                min=summary.min,
                instruction=message.instruction,
                model_id=message.model_id,
                compute_time=message.compute_time,
                latency=arrived - self._arrivals.get(stamp, float("nan")),
            )
        )

    def _now(self) -> int:
        """Nanoseconds; stands in for the stamp of a camera that gives none."""
        return self.get_clock().now().nanoseconds


def _identity(message: PredictedTracks | TrackSummary) -> tuple[int, float]:
    """What the two messages of one forecast share and those of another have not: a call may forecast a stamp again."""
    return nanoseconds(message.header), message.compute_time


def _forget_oldest(kept: dict, most: int) -> list:
    """Gives the keys that were forgotten."""
    forgotten = list(kept)[: max(len(kept) - most, 0)]
    for key in forgotten:
        del kept[key]
    return forgotten


COMMAND = Command("record_node", "Records camera images and the forecasts made from them.", RecordParameters)


def main(arguments: list[str] | None = None) -> int:
    return run(RecordNode, arguments, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main())
