"""What a policy knows of its cameras, from real topics."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from robot import LATCHED, RELIABLE
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from trajforecast_ros.images import depth_message
from trajforecast_ros.policy.sight import DEPTH_AGE, Sight

SECOND = 1_000_000_000  # nanoseconds


class Camera:
    def __init__(self, node, view: str):
        self.info = node.create_publisher(CameraInfo, f"{view}/camera_info", LATCHED)
        self.pose = node.create_publisher(PoseStamped, f"{view}/camera_pose", LATCHED)
        self.depth_info = node.create_publisher(CameraInfo, f"{view}/depth/camera_info", LATCHED)
        self.depth = node.create_publisher(Image, f"{view}/depth/image_raw", RELIABLE)

    def calibrate(self, focal: float, height: float) -> None:
        self.info.publish(calibration(focal))
        self.pose.publish(PoseStamped(pose=Pose(position=Point(z=height), orientation=Quaternion(w=1.0))))


def calibration(focal: float) -> CameraInfo:
    return CameraInfo(k=[focal, 0.0, 31.5, 0.0, focal, 31.5, 0.0, 0.0, 1.0])


def test_it_knows_the_views_that_are_calibrated_and_depth_of_the_moment(listener):
    sight = Sight(listener.node, ("side", "front"))
    side, front = Camera(listener.node, "side"), Camera(listener.node, "front")
    assert sight.missing("side") == ["side/camera_info", "side/camera_pose"] and sight.at(0) == {}

    side.calibrate(100.0, 1.0)
    listener.wait_for(lambda: not sight.missing("side"), "the side view's calibration")
    assert sight.at(0).keys() == {"side"}
    front.calibrate(200.0, 2.0)
    front.depth_info.publish(calibration(50.0))
    listener.wait_for(lambda: not sight.missing("front"), "the front view's calibration")

    def with_depth() -> bool:
        front.depth.publish(depth_message(np.full((64, 64), 0.75, np.float32), Header(stamp=Time(sec=3))))
        return sight.at(3 * SECOND)["front"].depth is not None

    listener.wait_for(with_depth, "depth")
    seen = sight.at(3 * SECOND)
    assert seen["side"].depth is None and seen["side"].camera.position.tolist() == [0, 0, 1]
    assert seen["front"].camera.focal.tolist() == [200, 200] and seen["front"].depth.focal.tolist() == [50, 50]
    # Depth is found by the ray, not by the pixel's number: the image's middle is the depth's.
    assert seen["front"].depth.at(np.array([32.0, 32.0]), seen["front"].camera) == pytest.approx(0.75)
    assert np.isnan(seen["front"].depth.at(np.array([999.0, 32.0]), seen["front"].camera))
    late = 3 * SECOND + round(1.5 * DEPTH_AGE * SECOND)
    assert sight.at(late)["front"].depth is None and sight.at(late - SECOND // 5)["front"].depth is not None


def test_a_camera_that_was_never_calibrated_is_named(listener):
    sight = Sight(listener.node, ("side",))
    camera = Camera(listener.node, "side")
    camera.calibrate(0.0, 1.0)
    listener.wait_for(lambda: not sight.missing("side"), "the calibration")
    with pytest.raises(ValueError, match="not calibrated; calibrate it"):
        sight.at(0)
