"""Records camera images and the forecasts made from them, each to a file as it comes; see recording.py."""

import sys
import time
from functools import partial
from pathlib import Path

from rclpy.node import Node
from sensor_msgs.msg import Image
from trajforecast_msgs.msg import PredictedTracks, TrackSummary

from trajforecast_ros.images import ImageRefused, to_rgb
from trajforecast_ros.messages import nanoseconds, read_summary, read_tracks
from trajforecast_ros.qos import EVERYTHING
from trajforecast_ros.recording import RecordedForecast, Recording
from trajforecast_ros.running import run

# Tracks come just before their summary; older ones without a summary are given up.
MAX_WAITING_TRACKS = 4


class RecordNode(Node):
    """Raises ValueError or OSError when there is no folder to record into."""

    def __init__(self):
        super().__init__("record_node")
        views = self.declare_parameter("views", ["side", "effector"]).value
        output = self.declare_parameter("output", "").value
        if not output:
            raise ValueError("parameter output is empty; name the folder to record into")
        Path(output).mkdir(parents=True, exist_ok=True)
        self._recording = Recording(output)
        self._arrivals: dict[int, float] = {}
        self._waiting: dict[int, tuple[PredictedTracks, float]] = {}
        for view in views:
            self.create_subscription(Image, f"{view}/image_raw", partial(self._on_image, view), EVERYTHING)
        self.create_subscription(PredictedTracks, "predicted_tracks", self._on_tracks, EVERYTHING)
        self.create_subscription(TrackSummary, "predicted_tracks/summary", self._on_summary, EVERYTHING)

    def _on_image(self, view: str, message: Image) -> None:
        stamp = nanoseconds(message.header)
        self._arrivals[stamp] = time.monotonic()
        try:
            self._recording.write_image(view, stamp, to_rgb(message))
        except ImageRefused as error:
            self.get_logger().error(f"images of camera {view} are not recorded: {error}", once=True)

    def _on_tracks(self, message: PredictedTracks) -> None:
        self._waiting[nanoseconds(message.header)] = (message, time.monotonic())
        while len(self._waiting) > MAX_WAITING_TRACKS:
            del self._waiting[next(iter(self._waiting))]

    def _on_summary(self, message: TrackSummary) -> None:
        stamp = nanoseconds(message.header)
        if stamp not in self._waiting:
            self.get_logger().error(f"a summary came without its tracks, stamp {stamp} ns")
            return
        tracks_message, arrived = self._waiting.pop(stamp)
        tracks, summary = read_tracks(tracks_message), read_summary(message)
        self._recording.write_forecast(
            RecordedForecast(
                stamp=stamp,
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


def main(arguments: list[str] | None = None) -> int:
    return run(RecordNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
