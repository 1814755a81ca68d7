"""What a policy knows of its cameras: where they are, how they project, and depth where somebody measures it."""

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from trajforecast_model.image_messages.depth import to_metres
from trajforecast_model.tracks.rigid.hand import DepthImage, SeenView
from trajforecast_ros.every_publisher import EveryPublisher
from trajforecast_ros.messages import nanoseconds
from trajforecast_ros.policy.calibration import Calibration, intrinsics
from trajforecast_ros.qos import NEWEST_IMAGE

DEPTH_AGE = 0.1  # seconds that depth may be older or newer than the moment that is looked at


class Sight:
    """Hears each view's camera_info and camera_pose, and its depth/image_raw with depth/camera_info."""

    def __init__(self, node: Node, views: tuple[str, ...]):
        self._logger = node.get_logger()
        self._views = views
        self._heard: dict[str, CameraInfo | PoseStamped | Image] = {}  # the newest of each topic
        for view in views:
            for kind, topic in (
                (CameraInfo, "camera_info"),
                (PoseStamped, "camera_pose"),
                (CameraInfo, "depth/camera_info"),
            ):
                EveryPublisher(node, kind, f"{view}/{topic}", self._keeping(f"{view}/{topic}"))
            node.create_subscription(
                Image, f"{view}/depth/image_raw", self._keeping(f"{view}/depth/image_raw"), NEWEST_IMAGE
            )

    def _keeping(self, topic: str):
        return lambda message: self._heard.update({topic: message})

    def missing(self, view: str) -> list[str]:
        """What of its calibration was not heard yet."""
        return [topic for topic in (f"{view}/camera_info", f"{view}/camera_pose") if topic not in self._heard]

    def at(self, moment: int) -> dict[str, SeenView]:
        """The calibrated views, with the depth of a moment, nanoseconds.

        Raises:
            ValueError: for a camera that was never calibrated, or depth that cannot be read.
        """
        return {
            view: SeenView(
                Calibration.from_messages(self._heard[f"{view}/camera_info"], self._heard[f"{view}/camera_pose"]),
                self._depth(view, moment),
            )
            for view in self._views
            if not self.missing(view)
        }

    def _depth(self, view: str, moment: int) -> DepthImage | None:
        image, info = (self._heard.get(f"{view}/depth/{topic}") for topic in ("image_raw", "camera_info"))
        if image is None or info is None:
            return None
        age = (moment - nanoseconds(image.header)) / 1e9
        if abs(age) > DEPTH_AGE:
            self._logger.warning(f"left out depth of {view} that is {age:.2f} s old", throttle_duration_sec=5.0)
            return None
        return DepthImage(to_metres(image), *intrinsics(info))
