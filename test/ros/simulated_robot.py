"""What a test needs around simulator_node and policy_node: a listener to the simulation, and forecasts made up."""

import numpy as np
from geometry_msgs.msg import PoseStamped
from robot import LATCHED
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float32MultiArray, Header
from trajforecast_msgs.msg import TrackSummary

from trajforecast_model.forecaster import Forecast
from trajforecast_model.tracks.grid import query_points
from trajforecast_ros.messages import Circumstances, Source, nanoseconds, summary_message
from trajforecast_ros.policy.calibration import rotation_matrix
from trajforecast_ros.qos import EVERYTHING

SIMULATOR, POLICY = "trajforecast_ros.policy.simulator_node", "trajforecast_ros.policy.policy_node"
LOCKSTEP = {"lockstep": True, "repeat_period": 1.0, "image_size": 64}
STEPS = 16


class Simulation:
    """Everything that simulator_node says, and actions to it."""

    def __init__(self, listener):
        self.listener = listener
        node = listener.node
        self.images = {"side": [], "effector": []}
        for view, messages in self.images.items():
            node.create_subscription(Image, f"{view}/image_raw", messages.append, EVERYTHING)
        self.grippers: list[PoseStamped] = []
        self.infos: list[CameraInfo] = []
        self.camera_poses: list[PoseStamped] = []
        node.create_subscription(PoseStamped, "gripper_pose", self.grippers.append, EVERYTHING)
        node.create_subscription(CameraInfo, "side/camera_info", self.infos.append, LATCHED)
        node.create_subscription(PoseStamped, "side/camera_pose", self.camera_poses.append, LATCHED)
        self.actions = node.create_publisher(Float32MultiArray, "simulator_node/action", EVERYTHING)

    def stamp(self) -> int:
        """Of the newest pose of the gripper, nanoseconds; 0 before there is one."""
        return nanoseconds(self.grippers[-1].header) if self.grippers else 0

    def position(self) -> np.ndarray:
        position = self.grippers[-1].pose.position
        return np.array([position.x, position.y, position.z])

    def rotation(self) -> np.ndarray:
        """Of the gripper, [3, 3], to the world."""
        return rotation_matrix(self.grippers[-1].pose.orientation)

    def wait_until_there(self, node) -> None:
        def there() -> bool:
            assert node.process.poll() is None, f"the node ended:\n{node.output}"
            return bool(self.grippers and all(self.images.values()) and self.actions.get_subscription_count())

        self.listener.wait_for(there, "the simulation")

    def act(self, action) -> None:
        """Sends an action and waits until the world has gone on."""
        before = self.stamp()
        self.actions.publish(Float32MultiArray(data=[float(number) for number in action]))
        self.listener.wait_for(lambda: self.stamp() > before, "a step of the simulation")


def everything_moves(
    header: Header, velocity: tuple[float, float], size: int, views: tuple[str, ...] = ("side",)
) -> TrackSummary:
    """The forecast that everything goes with a velocity, pixels a step."""
    start = query_points((32, 32), (size, size))
    track = start + np.arange(STEPS).reshape(-1, 1, 1, 1) * np.array(velocity)  # [T, H, W, 2]
    track = track.astype(np.float32)
    forecast = Forecast(
        views=views,
        tracks=np.stack([track[None]] * len(views)),
        visibility=None,
        steps=1,
        seed=0,
        dt=0.05,
    )
    sources = [Source(view, header, width=size, height=size) for view in views]
    return summary_message(forecast, Circumstances(sources, "go", "none", 0.0))
