"""What surrounds a forecast node: cameras, an operator and a subscriber, all in the test's process."""

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool
from trajforecast_msgs.msg import PredictedTracks, TrackSummary
from trajforecast_msgs.srv import Predict

from trajforecast_ros.images import to_message

NODE = "trajforecast_ros.forecast.forecast_node"
SIZES = {"side": (48, 65), "effector": (31, 40)}  # height, width; odd ones on purpose
SAMPLES = 2
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def picture(view: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZES[view], 3), dtype=np.uint8)


def header(view: str, stamp: int) -> Header:
    return Header(stamp=Time(sec=stamp, nanosec=20_000_000 if view == "effector" else 0), frame_id=f"{view}_optical")


def settings(tiny_checkpoint, **parameters) -> dict:
    """Parameters of a forecast node with the tiny checkpoint."""
    return {"checkpoint": tiny_checkpoint, "num_samples": SAMPLES, "camera_timeout": 600.0, **parameters}


class Robot:
    """The cameras, the operator and a subscriber to the forecasts."""

    def __init__(self, listener, compressed: bool = False, camera_qos=qos_profile_sensor_data):
        self.listener = listener
        node = listener.node
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        self.cameras = {view: node.create_publisher(kind, f"{view}/image_raw{suffix}", camera_qos) for view in SIZES}
        self.tracks, self.summaries, self.diagnostics = [], [], []
        self._diagnostics_subscription = node.create_subscription(
            DiagnosticArray, "/diagnostics", self.diagnostics.append, 10
        )
        self.listen_to_forecasts()
        self.instruct = node.create_publisher(String, "/forecast_node/instruction", LATCHED)
        self.predict = node.create_client(Predict, "/forecast_node/predict")
        self.enable = node.create_client(SetBool, "/forecast_node/enable")

    def wait_until_connected(self, node) -> None:
        def connected() -> bool:
            assert node.process.poll() is None, f"the node ended:\n{node.output}"
            cameras = all(camera.get_subscription_count() for camera in self.cameras.values())
            return cameras and all(self.listener.node.count_publishers(s.topic_name) for s in self._subscriptions)

        self.listener.wait_for(connected, "discovery of the node")

    def listen_to_forecasts(self) -> None:
        node = self.listener.node
        self._subscriptions = [
            node.create_subscription(PredictedTracks, "/predicted_tracks", self.tracks.append, RELIABLE),
            node.create_subscription(TrackSummary, "/predicted_tracks/summary", self.summaries.append, RELIABLE),
        ]

    def stop_listening_to_forecasts(self) -> None:
        while self._subscriptions:
            self.listener.node.destroy_subscription(self._subscriptions.pop())

    def see(self, stamp: int, views=tuple(SIZES)) -> None:
        for view in views:
            self.cameras[view].publish(to_message(picture(view), header(view, stamp)))

    def forecast_of(self, stamp: int, views=tuple(SIZES)) -> tuple[PredictedTracks, TrackSummary]:
        """Publishes a pair of images until its forecast comes: sensor data may get lost."""

        def came(messages) -> list:
            return [message for message in messages if message.header.stamp.sec == stamp]

        def try_again() -> bool:
            if not (came(self.tracks) and came(self.summaries)):
                self.see(stamp, views)
            return bool(came(self.tracks) and came(self.summaries))

        self.listener.wait_for(try_again, f"a forecast of {views} at {stamp}")
        return came(self.tracks)[-1], came(self.summaries)[-1]
