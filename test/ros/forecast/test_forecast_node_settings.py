"""forecast_node started with other parameters, remappings and endings, a process for each test."""

import signal
import time

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.qos import qos_profile_sensor_data
from robot import LATCHED, NODE, RELIABLE, SIZES, Robot, header, picture, settings
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String
from tiny_checkpoint import FRAMES, GRID
from trajforecast_msgs.msg import ForecastScore, PredictedTracks
from trajforecast_msgs.srv import Predict
from visualization_msgs.msg import Marker

from trajforecast_ros.images import to_message
from trajforecast_ros.messages import nanoseconds, read_summary, read_tracks


@pytest.fixture
def forecast_node(start_node, tiny_checkpoint):
    """A node with parameters of the test's own."""

    def start(remappings=None, **parameters):
        return start_node(NODE, settings(tiny_checkpoint, **parameters), remappings)

    return start


@pytest.fixture
def forecast_program(start_program, tiny_checkpoint):
    """The same, started as people do."""

    def start(**parameters):
        return start_program(NODE, settings(tiny_checkpoint, **parameters))

    return start


def test_it_waits_for_an_instruction_and_says_so_once(forecast_node, listener):
    robot = Robot(listener)
    node = forecast_node(enabled=True)
    robot.wait_until_connected(node)
    robot.see(stamp=1)
    listener.wait_for(
        lambda: robot.diagnostics and "instruction" in robot.diagnostics[-1].status[0].message, "diagnostics"
    )
    assert not robot.tracks

    robot.instruct.publish(String(data="open the drawer"))
    message, _ = robot.forecast_of(stamp=2)

    assert message.instruction == "open the drawer"
    assert node.output.count("waiting for an instruction") == 1


def test_an_instruction_counts_from_any_publisher_but_not_one_that_was_latched_before(forecast_program, listener):
    robot = Robot(listener)
    robot.instruct.publish(String(data="said before"))
    node = forecast_program(instruction="given at the start")  # when a process began it notes while it imports
    robot.wait_until_connected(node)
    listener.wait_for(lambda: node.said("left out what was said on /forecast_node/instruction"), "what is left out")
    assert robot.forecast_of(stamp=1)[0].instruction == "given at the start"

    def follows(instruction: str) -> bool:
        robot.see(stamp=2)
        return robot.tracks[-1].instruction == instruction

    for qos in (10, qos_profile_sensor_data, LATCHED):
        operator = listener.node.create_publisher(String, "/forecast_node/instruction", qos)
        listener.wait_for(operator.get_subscription_count, "the node's subscription")

        def told(text=f"by an operator with {qos}", operator=operator) -> bool:
            operator.publish(String(data=text))
            return follows(text)

        listener.wait_for(told, f"a forecast for an operator with {qos}")


def test_a_camera_that_is_late_is_forecast_with_what_the_other_saw_then(forecast_node, listener):
    """And after a pause the first forecast has both."""
    robot = Robot(listener)
    node = forecast_node(instruction="go", camera_timeout=3.0, max_pair_skew=0.02)
    robot.wait_until_connected(node)
    began, shown = time.monotonic(), 0

    def show(view: str, number: int) -> None:
        stamp = Time(sec=100 + number // 20, nanosec=number % 20 * 50_000_000)
        robot.cameras[view].publish(to_message(picture(view), Header(stamp=stamp, frame_id=view)))

    def see_at_20_hz() -> None:
        """The side camera is two images late."""
        nonlocal shown
        if time.monotonic() < began + shown / 20:
            return
        shown += 1
        show("effector", shown)
        if shown > 2:
            show("side", shown - 2)

    def pairs_came() -> bool:
        see_at_20_hz()
        return sum(len(message.views) == 2 for message in robot.tracks) >= 5

    listener.wait_for(pairs_came, "forecasts of both")
    pairs = [
        [nanoseconds(view.header) for view in message.views] for message in robot.tracks if len(message.views) == 2
    ]
    assert all(side == effector for side, effector in pairs)

    for view in SIZES:
        listener.wait_for(lambda view=view: node.said(f"no image from camera {view}"), "the pause")
    robot.tracks.clear()
    began = time.monotonic() - shown / 20
    listener.wait_for(lambda: see_at_20_hz() or robot.tracks, "a forecast after the pause")
    assert len(robot.tracks[0].views) == 2


def test_one_camera_missing_is_announced_once_and_the_other_goes_on(forecast_node, listener):
    robot = Robot(listener)
    node = forecast_node(instruction="go", camera_timeout=1.5)
    robot.wait_until_connected(node)

    message, _ = robot.forecast_of(stamp=5, views=("side",))
    assert [view.name for view in message.views] == ["side"]
    robot.forecast_of(stamp=6, views=("side",))
    assert node.output.count("no image from camera effector") == 1

    def pair_came() -> bool:
        robot.see(stamp=7)
        return any(len(message.views) == 2 for message in robot.tracks)

    listener.wait_for(pair_came, "a forecast of both")
    listener.wait_for(lambda: node.said("camera effector is back"), "the camera's return")
    assert node.output.count("camera effector is back") == 1


def test_compressed_images(forecast_node, listener):
    robot = Robot(listener, compressed=True)
    node = forecast_node(instruction="go", image_transport="compressed")
    robot.wait_until_connected(node)

    def came() -> bool:
        for view, camera in robot.cameras.items():
            _, data = cv2.imencode(".png", picture(view)[..., ::-1])
            camera.publish(CompressedImage(header=header(view, 9), format="png", data=data.tobytes()))
        return bool(robot.tracks)

    listener.wait_for(came, "a forecast")
    assert read_tracks(robot.tracks[0]).image_sizes == tuple(SIZES.values())


def test_each_camera_by_its_own_transport_and_depth_refused_in_its_wrapping(forecast_node, listener):
    robot = Robot(listener)
    wrapped = listener.node.create_publisher(CompressedImage, "effector/image_raw/compressed", qos_profile_sensor_data)
    node = forecast_node(instruction="go", image_transport="side:raw,effector:compressed")

    def until(done, stamp: int, pixels: np.ndarray, image_format: str) -> None:
        def see_and_look() -> bool:
            assert node.process.poll() is None, node.output
            _, data = cv2.imencode(".png", pixels)
            message = CompressedImage(header=header("effector", stamp), format=image_format, data=data.tobytes())
            wrapped.publish(message)
            robot.see(stamp, views=("side",))
            return done()

        listener.wait_for(see_and_look, image_format)

    depth = np.full(SIZES["effector"], 700, np.uint16)
    until(
        lambda: node.said("images of camera effector are refused: encoding '16UC1'"), 1, depth, "16UC1; png compressed "
    )
    assert all(view.name == "side" for message in robot.tracks for view in message.views)
    colours = picture("effector")[..., ::-1]
    until(lambda: any(len(message.views) == 2 for message in robot.tracks), 2, colours, "rgb8; png compressed bgr8")


def test_a_score_follows_when_the_horizon_has_passed(forecast_node, listener):
    """The tiny checkpoint's forecasts are nonsense; that they are scored, and against what, is what counts here."""
    robot = Robot(listener)
    scores = []
    listener.node.create_subscription(ForecastScore, "/predicted_tracks/score", scores.append, RELIABLE)
    node = forecast_node(instruction="go", score=True)
    robot.wait_until_connected(node)
    frame = 0

    def publish_next() -> None:
        """Ever slower until a score comes: on a busy machine the node does not see every image of a fast camera."""
        nonlocal frame
        seconds, nanoseconds = divmod(5_000_000_000 + frame * 50_000_000, 1_000_000_000)
        for view, camera in robot.cameras.items():
            moved = np.roll(picture(view), frame, axis=1)
            camera.publish(to_message(moved, Header(stamp=Time(sec=seconds, nanosec=nanoseconds))))
        frame += 1
        if frame % 60 == 0:
            timer.timer_period_ns *= 2

    timer = listener.node.create_timer(0.05, publish_next)
    listener.wait_for(lambda: scores, "a score")
    score = scores[0]
    assert (score.num_samples, score.num_steps, score.num_observed_steps, score.dt) == (2, FRAMES, FRAMES, 0.05)
    assert {view.name for view in score.views} <= set(SIZES)
    forecasts = {(message.header.stamp.sec, message.header.stamp.nanosec) for message in robot.tracks}
    listener.wait_for(lambda: (score.header.stamp.sec, score.header.stamp.nanosec) in forecasts, "its forecast")


def test_drawings_for_rviz_while_somebody_looks(forecast_node, listener):
    robot = Robot(listener)
    markers = []
    listener.node.create_subscription(Marker, "/forecast_node/markers", markers.append, RELIABLE)
    node = forecast_node(instruction="go")
    robot.wait_until_connected(node)

    def drawn() -> bool:
        robot.see(stamp=4)
        return {marker.ns for marker in markers} == set(SIZES)

    listener.wait_for(drawn, "a marker of each view")
    assert {marker.header.frame_id for marker in markers} == {"side_optical", "effector_optical"}
    # The camera timeout of these tests, 600 s, and time for a slow next one: a camera that died is not shown for ever.
    assert all(600 <= marker.lifetime.sec < 700 for marker in markers)


def test_one_shot_service(forecast_node, listener):
    robot = Robot(listener)
    node = forecast_node(enabled=False)
    robot.wait_until_connected(node)

    answer = listener.call(robot.predict, Predict.Request(instruction="go"))
    assert not answer.success and "no image from side or effector" in answer.message

    def both_seen() -> bool:
        robot.see(stamp=2)
        listener.executor.spin_once(timeout_sec=0.05)
        return bool(robot.diagnostics) and robot.diagnostics[-1].status[0].message == "waiting for ~/enable"

    listener.wait_for(both_seen, "the images' arrival")
    answer = listener.call(robot.predict, Predict.Request())
    assert not answer.success and "instruction" in answer.message

    request = Predict.Request(instruction="go", num_samples=3, num_solver_steps=2, seed=5)
    first, second = (listener.call(robot.predict, request) for _ in range(2))
    assert first.success, first.message
    assert read_tracks(first.tracks).tracks.shape == (2, 3, FRAMES, *GRID, 2)
    assert first.tracks.seed == 5
    assert first.tracks.tracks == second.tracks.tracks, "the same seed gives the same forecast"
    assert np.array_equal(read_summary(first.summary).mean_t, read_summary(second.summary).mean_t)

    answer = listener.call(robot.predict, Predict.Request(instruction="go", num_samples=10**6))
    assert not answer.success and "num_samples" in answer.message


def test_remapped_cameras_in_a_namespace(forecast_node, listener):
    node = forecast_node({"side/image_raw": "/front/color", "__ns": "/robot1"}, instruction="go")
    camera = listener.node.create_publisher(Image, "/front/color", qos_profile_sensor_data)
    other = listener.node.create_publisher(Image, "/robot1/effector/image_raw", qos_profile_sensor_data)
    came = []
    listener.node.create_subscription(PredictedTracks, "/robot1/predicted_tracks", came.append, RELIABLE)

    def try_again() -> bool:
        assert node.process.poll() is None, node.output
        camera.publish(to_message(picture("side"), header("side", 1)))
        other.publish(to_message(picture("effector"), header("effector", 1)))
        return bool(came)

    listener.wait_for(try_again, "a forecast")


def test_two_robots_in_two_namespaces_do_not_hear_each_other(forecast_node, listener):
    came = {robot: [] for robot in ("robot1", "robot2")}
    cameras = {}
    for robot, messages in came.items():
        forecast_node({"__ns": f"/{robot}"}, instruction=robot)
        for view in SIZES:
            topic = f"/{robot}/{view}/image_raw"
            cameras[robot, view] = listener.node.create_publisher(Image, topic, qos_profile_sensor_data)
        listener.node.create_subscription(PredictedTracks, f"/{robot}/predicted_tracks", messages.append, RELIABLE)

    def both_forecast() -> bool:
        for (robot, view), camera in cameras.items():
            camera.publish(to_message(picture(view), header(view, 1 if robot == "robot1" else 2)))
        return all(came.values())

    listener.wait_for(both_forecast, "a forecast of each robot")
    assert {(m.header.stamp.sec, m.instruction) for m in came["robot1"]} == {(1, "robot1")}
    assert {(m.header.stamp.sec, m.instruction) for m in came["robot2"]} == {(2, "robot2")}


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"checkpoint": "/no/such/folder"}, "/no/such/folder"),
        ({"dtype": "float8"}, "choose one of float32, bfloat16"),
        ({"views": "[side, side]"}, "views"),
        ({"views": "[side-cam]"}, "side-cam"),
        ({"views": "[front]"}, "front"),
        ({"num_samples": 0}, "num_samples"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_wrong_parameters_end_it_with_one_message(forecast_node, parameters, complaint):
    node = forecast_node(**parameters)

    assert node.exit_code() == 2, node.output
    assert complaint in node.output
    assert "Traceback" not in node.output


def test_networks_that_cannot_be_compiled_end_it_with_one_message(forecast_program, monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "/no/such/compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    node = forecast_program(compile=True)

    assert node.exit_code() == 2, node.output
    assert "cannot be compiled here" in node.output and "/no/such/compiler" in node.output
    assert "Traceback" not in node.output


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly_also_while_it_forecasts(forecast_program, listener, with_signal):
    robot = Robot(listener)
    node = forecast_program(instruction="go", solver_steps=10)
    robot.wait_until_connected(node)
    robot.forecast_of(stamp=1)
    robot.see(stamp=2)

    assert node.stop(with_signal) == 0, node.output
    assert "Traceback" not in node.output


def test_signal_while_it_loads(forecast_program, listener):
    node = forecast_program(instruction="go")
    listener.wait_for(lambda: node.said("loading checkpoint"), "loading")

    assert node.stop(signal.SIGINT) == 0, node.output
