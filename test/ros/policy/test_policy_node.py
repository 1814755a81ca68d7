"""policy_node: from a forecast of moving pixels to an action, alone and in a closed loop with the simulator."""

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.qos import qos_profile_sensor_data
from robot import RELIABLE
from sensor_msgs.msg import CameraInfo
from simulated_robot import LOCKSTEP, POLICY, SIMULATOR, Simulation, everything_moves
from std_msgs.msg import Float32MultiArray, Header
from trajforecast_msgs.msg import TrackSummary

from trajforecast_ros.messages import read_summary
from trajforecast_ros.policy.calibration import Calibration
from trajforecast_ros.policy.policy_node import METRES_PER_STEP, gripper_motion
from trajforecast_ros.qos import LATCHED

SIZE, FOCAL, DEPTH = 64, 100.0, 1.25


def header(milliseconds: int) -> Header:
    message = Header(frame_id="side_optical")
    message.stamp.sec, rest = divmod(milliseconds, 1000)
    message.stamp.nanosec = rest * 1_000_000
    return message


def test_the_motion_is_that_of_what_moves_around_the_gripper():
    message = everything_moves(header(1000), (0.0, 0.0), SIZE)
    tracks = np.array(message.min, dtype=np.float32).reshape(16, 32, 32, 2)
    tracks[:, 10:13, 10:13, 0] += 2 * np.arange(16).reshape(-1, 1, 1)  # 9 points around the gripper go right
    tracks[:, 20:, 20:, 1] += 5 * np.arange(16).reshape(-1, 1, 1)  # others, elsewhere, down
    message.min = tracks.ravel().tolist()
    gripper = tracks[0, 11, 11]

    # The region holds 13 points of the grid, 2 pixels apart; the median of the 9 that move is theirs.
    motion = gripper_motion(read_summary(message), gripper, 4.1 / SIZE, 0, 4)

    np.testing.assert_allclose(motion, [8, 0])
    assert not gripper_motion(read_summary(message), np.array([-100.0, 0.0]), 0.05, 0, 4).any()


class Bystander:
    """A camera that looks along the world's x, with image right = world -y and image down = world -z; a gripper in
    front of it; and a forecaster."""

    def __init__(self, listener, qos=LATCHED):
        node = listener.node
        self.listener = listener
        self.actions = []
        self._info = node.create_publisher(CameraInfo, "side/camera_info", qos)
        self._pose = node.create_publisher(PoseStamped, "side/camera_pose", qos)
        self._gripper = node.create_publisher(PoseStamped, "gripper_pose", qos)
        self._summaries = node.create_publisher(TrackSummary, "predicted_tracks/summary", RELIABLE)
        node.create_subscription(Float32MultiArray, "simulator_node/action", self.actions.append, RELIABLE)
        self.calibrate()

    def calibrate(self) -> None:
        centre = SIZE / 2 - 0.5
        self._info.publish(CameraInfo(k=[FOCAL, 0.0, centre, 0.0, FOCAL, centre, 0.0, 0.0, 1.0]))
        half = Quaternion(x=0.5, y=-0.5, z=0.5, w=-0.5)
        self._pose.publish(PoseStamped(pose=Pose(orientation=half)))

    def wait_until_connected(self) -> None:
        publishers = (self._info, self._pose, self._gripper, self._summaries)
        self.listener.wait_for(lambda: all(p.get_subscription_count() for p in publishers), "the policy")

    def forecast(self, milliseconds: int, velocity, gripper_at: int | None = None) -> None:
        self._gripper.publish(
            PoseStamped(header=header(gripper_at or milliseconds), pose=Pose(position=Point(x=DEPTH)))
        )
        self._summaries.publish(everything_moves(header(milliseconds), velocity, SIZE))


@pytest.mark.parametrize(
    "qos", [LATCHED, RELIABLE, qos_profile_sensor_data], ids=["latched", "reliable", "sensor data"]
)
def test_the_action_goes_where_the_forecast_goes(start_node, listener, qos):
    node = start_node(POLICY, {"gripper": 1.0})
    bystander = Bystander(listener, qos)
    bystander.wait_until_connected()

    def answered() -> bool:
        # The calibration and the forecast take different ways; until it has both it answers nothing.
        if not bystander.actions:
            if qos is not LATCHED:
                bystander.calibrate()
            bystander.forecast(1000, (0.5, -0.25))
        return bool(bystander.actions)

    listener.wait_for(answered, "an action")
    metres_a_pixel = DEPTH / FOCAL
    right, up = 0.5 * metres_a_pixel / METRES_PER_STEP, 0.25 * metres_a_pixel / METRES_PER_STEP
    np.testing.assert_allclose(bystander.actions[-1].data, [0, -right, up, 0, 0, 0, 1], atol=1e-4)

    # The same images again and a forecast whose horizon is over are not answered; the next one is, and within limits.
    count = len(bystander.actions)
    bystander.forecast(1000, (1.0, 0.0))
    bystander.forecast(2000, (1.0, 0.0), gripper_at=2900)
    listener.wait_for(lambda: node.said("0.90 s old"), "the old forecast's refusal")
    bystander.forecast(3000, (-50.0, 0.0))
    listener.wait_for(lambda: len(bystander.actions) > count, "the next action")
    np.testing.assert_allclose(bystander.actions[-1].data, [0, 1, 0, 0, 0, 0, 1], atol=1e-4)
    assert len(bystander.actions) == count + 1
    assert node.stop() == 0, node.output


@pytest.mark.parametrize(("parameter", "value"), [("lookahead", 0), ("gain", -1.0), ("radius", "wide")])
def test_wrong_parameters_end_it_with_one_message(start_node, parameter, value):
    node = start_node(POLICY, {parameter: value})

    assert node.exit_code() == 2
    assert parameter in node.output and node.output.startswith("error: ") and "Traceback" not in node.output


@pytest.mark.slow
def test_in_the_closed_loop_the_arm_follows_the_forecast(start_node, listener):
    simulator = start_node(SIMULATOR, LOCKSTEP)
    policy = start_node(POLICY, {})
    simulation = Simulation(listener)
    summaries = listener.node.create_publisher(TrackSummary, "predicted_tracks/summary", RELIABLE)
    simulation.wait_until_there(simulator)
    listener.wait_for(summaries.get_subscription_count, "the policy")
    start, position = simulation.stamp(), simulation.position()

    def ten_steps_later() -> bool:
        assert policy.process.poll() is None, policy.output
        # Again and again: the policy answers each image once.
        newest = simulation.images["side"][-1].header
        summaries.publish(everything_moves(newest, (0.4, 0.2), LOCKSTEP["image_size"]))
        return simulation.stamp() >= start + 10 * 50_000_000

    listener.wait_for(ten_steps_later, "ten steps of the closed loop")
    camera = Calibration.from_messages(simulation.infos[-1], simulation.camera_poses[-1])
    went = camera.project(simulation.position())[0] - camera.project(position)[0]
    assert went @ (0.4, 0.2) / np.linalg.norm(went) / np.linalg.norm((0.4, 0.2)) > 0.95
    assert 0.5 < np.linalg.norm(went) / np.linalg.norm((4.0, 2.0)) < 1.5
