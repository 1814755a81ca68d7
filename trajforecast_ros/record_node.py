"""Records camera images and the forecasts made from them, one file a forecast as it comes.

OUTPUT/forecast_<stamp>.npz  views, tracks [V,k,T,H,W,2], mean_t and min [V,T,H,W,2], min_index [V], spread [V,T,H,W],
                             instruction, model_id, dt, compute_time, latency (seconds from the arrival of the newest
                             image here to that of the tracks)
OUTPUT/image_<view>_<stamp>.png  every image

Stamps are nanoseconds. Files appear whole: they are written beside their place and then renamed.
"""

import io
import os
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from trajforecast_msgs.msg import PredictedTracks, TrackSummary
from trajforecast_ros.images import ImageRefused, to_rgb
from trajforecast_ros.messages import nanoseconds, read_summary, read_tracks

EVERYTHING = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)


class RecordNode(Node):
    """Raises ValueError when the output folder cannot be made."""

    def __init__(self):
        super().__init__("record_node")
        views = self.declare_parameter("views", ["side", "effector"]).value
        output = self.declare_parameter("output", "").value
        if not output:
            raise ValueError("parameter output is empty; name the folder to record into")
        self._folder = Path(output)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._arrivals: dict[int, float] = {}
        self._tracks: dict[int, tuple[PredictedTracks, float]] = {}
        for view in views:
            self.create_subscription(Image, f"{view}/image_raw", partial(self._on_image, view), EVERYTHING)
        self.create_subscription(PredictedTracks, "predicted_tracks", self._on_tracks, EVERYTHING)
        self.create_subscription(TrackSummary, "predicted_tracks/summary", self._on_summary, EVERYTHING)

    def _on_image(self, view: str, message: Image) -> None:
        stamp = nanoseconds(message.header)
        self._arrivals[stamp] = time.monotonic()
        try:
            rgb = to_rgb(message)
        except ImageRefused as error:
            self.get_logger().error(f"an image of camera {view} is not recorded: {error}", once=True)
            return
        # Little compression: the recorder shares its cores with the forecast.
        _, png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        self._write(f"image_{view}_{stamp}.png", png.tobytes())

    def _on_tracks(self, message: PredictedTracks) -> None:
        self._tracks[nanoseconds(message.header)] = (message, time.monotonic())

    def _on_summary(self, message: TrackSummary) -> None:
        stamp = nanoseconds(message.header)
        if stamp not in self._tracks:
            self.get_logger().error(f"a summary came without its tracks, stamp {stamp}")
            return
        tracks_message, arrived = self._tracks.pop(stamp)
        tracks, summary = read_tracks(tracks_message), read_summary(message)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            views=np.array(tracks.views),
            image_sizes=np.array(tracks.image_sizes),
            tracks=tracks.tracks,
            mean_t=summary.mean_t,
            min=summary.min,
            min_index=summary.min_index,
            spread=summary.spread,
            instruction=message.instruction,
            model_id=message.model_id,
            dt=message.dt,
            compute_time=message.compute_time,
            latency=arrived - self._arrivals.get(stamp, float("nan")),
        )
        self._write(f"forecast_{stamp}.npz", buffer.getvalue())

    def _write(self, name: str, data: bytes) -> None:
        temporary = self._folder / f".{name}.tmp"
        temporary.write_bytes(data)
        os.replace(temporary, self._folder / name)


def main(arguments: list[str] | None = None) -> int:
    rclpy.init(args=arguments)
    try:
        rclpy.spin(RecordNode())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ValueError, OSError) as error:
        print(f"record_node: error: {error}", file=sys.stderr)
        return 2
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
