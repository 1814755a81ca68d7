"""policy_node: from a forecast of moving pixels to an action, alone and in a closed loop with the simulator."""

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from rclpy.qos import qos_profile_sensor_data
from robot import RELIABLE
from sensor_msgs.msg import CameraInfo, Image
from simulated_robot import LOCKSTEP, POLICY, SIMULATOR, STEPS, Simulation, everything_moves
from std_msgs.msg import Float32MultiArray, Header
from trajforecast_msgs.msg import TrackSummary

from trajforecast_model.policy.follower import METRES_PER_STEP, RADIANS_PER_STEP
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.rigid.rigid_motion import RigidMotion
from trajforecast_ros.images import depth_message
from trajforecast_ros.policy.calibration import Calibration
from trajforecast_ros.qos import LATCHED

SIZE, FOCAL, DEPTH = 64, 100.0, 1.25


def header(milliseconds: int) -> Header:
    message = Header(frame_id="side_optical")
    message.stamp.sec, rest = divmod(milliseconds, 1000)
    message.stamp.nanosec = rest * 1_000_000
    return message


class Bystander:
    """A camera that looks along the world's x, with image right = world -y and image down = world -z; a gripper in
    front of it; and a forecaster."""

    def __init__(self, listener, qos=LATCHED, with_actions: bool = True):
        node = listener.node
        self.listener = listener
        self.actions = []
        self._info = node.create_publisher(CameraInfo, "side/camera_info", qos)
        self._pose = node.create_publisher(PoseStamped, "side/camera_pose", qos)
        self._gripper = node.create_publisher(PoseStamped, "gripper_pose", qos)
        self._summaries = node.create_publisher(TrackSummary, "predicted_tracks/summary", RELIABLE)
        self._depth_info = node.create_publisher(CameraInfo, "side/depth/camera_info", qos)
        self._depth = node.create_publisher(Image, "side/depth/image_raw", RELIABLE)
        if with_actions:
            node.create_subscription(Float32MultiArray, "simulator_node/action", self.actions.append, RELIABLE)
        self.calibrate()

    def calibrate(self, focal: float = FOCAL) -> None:
        centre = SIZE / 2 - 0.5
        self._info.publish(CameraInfo(k=[focal, 0.0, centre, 0.0, focal, centre, 0.0, 0.0, 1.0]))
        half = Quaternion(x=0.5, y=-0.5, z=0.5, w=-0.5)
        self._pose.publish(PoseStamped(pose=Pose(orientation=half)))

    def measure_depth(self, milliseconds: int, depth: Image) -> None:
        """Of a camera with half as many pixels a side."""
        centre = SIZE / 4 - 0.5
        self._depth_info.publish(CameraInfo(k=[FOCAL / 2, 0.0, centre, 0.0, FOCAL / 2, centre, 0.0, 0.0, 1.0]))
        depth.header = header(milliseconds)
        self._depth.publish(depth)

    def wait_until_connected(self) -> None:
        publishers = (self._info, self._pose, self._gripper, self._summaries, self._depth, self._depth_info)
        self.listener.wait_for(lambda: all(p.get_subscription_count() for p in publishers), "the policy")

    def hold(self, milliseconds: int, depth: float = DEPTH) -> None:
        self._gripper.publish(PoseStamped(header=header(milliseconds), pose=Pose(position=Point(x=depth))))

    def forecast(self, milliseconds: int, velocity, gripper_at: int | None = None) -> None:
        self.hold(gripper_at or milliseconds)
        self._summaries.publish(everything_moves(header(milliseconds), velocity, SIZE))

    def forecast_only(self, milliseconds: int) -> None:
        self._summaries.publish(everything_moves(header(milliseconds), (0.5, 0.0), SIZE))

    def forecast_unreadable(self, milliseconds: int) -> None:
        message = everything_moves(header(milliseconds), (0.5, 0.0), SIZE)
        message.num_steps += 1
        self._summaries.publish(message)

    def forecast_tracks(self, milliseconds: int, tracks: np.ndarray) -> None:
        """[T, H, W, 2] pixels."""
        self.hold(milliseconds)
        message = everything_moves(header(milliseconds), (0.0, 0.0), SIZE)
        message.min = tracks.astype(np.float32).ravel().tolist()
        self._summaries.publish(message)


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


def as_millimetres(metres: np.ndarray) -> Image:
    height, width = metres.shape
    data = (1000 * metres).round().astype("<u2")
    return Image(height=height, width=width, encoding="16UC1", step=2 * width, data=data.tobytes())


def as_metres(metres: np.ndarray) -> Image:
    return depth_message(metres, Header())


def test_that_nobody_listens_is_said_once(start_node, listener):
    node = start_node(POLICY, {})
    bystander = Bystander(listener, with_actions=False)
    bystander.wait_until_connected()
    milliseconds = 1000

    def said() -> bool:
        nonlocal milliseconds
        milliseconds += 50
        bystander.forecast(milliseconds, (0.5, 0.0))
        return node.said("nobody listens to /simulator_node/action") and milliseconds > 2000

    listener.wait_for(said, "that nobody listens")
    assert node.output.count("nobody listens") == 1 and node.stop() == 0


@pytest.mark.parametrize("as_message", [as_millimetres, as_metres])
def test_with_depth_the_arm_turns_and_goes_along_the_line_of_sight(start_node, listener, as_message):
    node = start_node(POLICY, {"radius": 0.25})
    bystander = Bystander(listener)
    bystander.wait_until_connected()
    # A hand as a plane before the camera comes 4 mm nearer each step and turns about the line of sight by 0.02.
    start = query_points((32, 32), (SIZE, SIZE)) - SIZE / 2
    steps = np.arange(STEPS).reshape(-1, 1, 1)
    x, y = np.moveaxis(start, -1, 0)
    angle, nearer = 0.02 * steps, DEPTH / (DEPTH - 0.004 * steps)
    turned = [x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)]
    tracks = np.stack(turned, axis=-1) * nearer[..., None] + SIZE / 2
    milliseconds = 1000

    def acts(condition) -> bool:
        nonlocal milliseconds
        milliseconds += 50
        bystander.measure_depth(milliseconds, as_message(np.full((SIZE // 2, SIZE // 2), DEPTH, np.float32)))
        bystander.forecast_tracks(milliseconds, tracks)
        return bool(bystander.actions) and condition(bystander.actions[-1].data)

    listener.wait_for(lambda: acts(lambda action: any(action[3:6])), "an action that turns")
    # The camera looks along the world's x.
    np.testing.assert_allclose(
        bystander.actions[-1].data, [-0.004 / METRES_PER_STEP, 0, 0, 0.02 / RADIANS_PER_STEP, 0, 0, -1], atol=5e-3
    )
    # Depth that stops is left out, and one view tells what it can.
    stopped = milliseconds

    def goes_on() -> bool:
        nonlocal milliseconds
        milliseconds += 50
        bystander.forecast_tracks(milliseconds, tracks)
        return milliseconds > stopped + 200 and not any(bystander.actions[-1].data[3:6])

    listener.wait_for(goes_on, "an action without depth")
    assert node.said("left out depth of side")
    assert node.stop() == 0, node.output


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda robot, at: robot.calibrate(focal=0.0), "not calibrated"),
        (lambda robot, at: robot.hold(at, float("nan")), "not finite"),
        (lambda robot, at: robot.forecast_unreadable(at), "left out a forecast that cannot be read"),
        (lambda robot, at: robot.measure_depth(at, Image(encoding="mono8", height=1, width=1)), "'mono8' is not depth"),
    ],
    ids=["no calibration", "no position", "no forecast", "no depth"],
)
def test_what_cannot_be_used_is_said_once_and_the_arm_stays(start_node, listener, spoil, complaint):
    node = start_node(POLICY, {})
    bystander = Bystander(listener)
    bystander.wait_until_connected()
    milliseconds = 1000

    def forecast_until(condition, spoiled: bool) -> None:
        def again() -> bool:
            nonlocal milliseconds
            milliseconds += 50
            bystander.hold(milliseconds)
            if spoiled:
                spoil(bystander, milliseconds)
            bystander.forecast_only(milliseconds)
            return condition()

        listener.wait_for(again, complaint)

    forecast_until(lambda: node.said(complaint), spoiled=True)
    bystander.actions.clear()
    bystander.calibrate()
    milliseconds += 1000  # the depth is old then
    forecast_until(lambda: bool(bystander.actions), spoiled=False)
    assert node.output.count(complaint) == 1 and np.isfinite(bystander.actions[-1].data).all()
    assert node.stop() == 0, node.output


@pytest.mark.parametrize(
    ("parameter", "value"), [("second_view", "side"), ("lookahead", 0), ("gain", -1.0), ("radius", "wide")]
)
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


@pytest.mark.slow
def test_in_the_closed_loop_with_depth_the_hand_follows_a_turn(start_node, listener):
    simulator = start_node(SIMULATOR, LOCKSTEP | {"depth": True})
    policy = start_node(POLICY, {"radius": 0.12})
    simulation = Simulation(listener)
    summaries = listener.node.create_publisher(TrackSummary, "predicted_tracks/summary", RELIABLE)
    simulation.wait_until_there(simulator)
    listener.wait_for(lambda: summaries.get_subscription_count() and simulation.infos, "the policy")
    camera = Calibration.from_messages(simulation.infos[-1], simulation.camera_poses[-1])
    start, before = simulation.stamp(), simulation.rotation()
    size, angle = LOCKSTEP["image_size"], 0.03 * np.arange(STEPS).reshape(-1, 1, 1)

    def ten_steps_later() -> bool:
        assert policy.process.poll() is None, policy.output
        pixel = camera.project(simulation.position())[0]
        x, y = np.moveaxis(query_points((32, 32), (size, size)) - pixel, -1, 0)
        turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=-1)
        message = everything_moves(simulation.images["side"][-1].header, (0.0, 0.0), size)
        message.min = (turned + pixel).astype(np.float32).ravel().tolist()
        summaries.publish(message)
        return simulation.stamp() >= start + 10 * 50_000_000

    listener.wait_for(ten_steps_later, "ten steps of the closed loop")
    turn = RigidMotion(simulation.rotation() @ before.T, np.zeros(3), np.zeros(3)).turn
    about = turn @ camera.rotation[:, 2]
    assert 0.15 < about < 0.45 and about / np.linalg.norm(turn) > 0.9
