"""forecast_node as a process of its own, with cameras and a subscriber in the test's process."""

import signal

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool
from tiny_checkpoint import FRAMES, GRID

from trajforecast_model import Forecaster
from trajforecast_model.tracks.grid import query_points, rescale
from trajforecast_msgs.msg import PredictedTracks, TrackSummary
from trajforecast_msgs.srv import Predict
from trajforecast_ros.images import to_message, to_rgb
from trajforecast_ros.messages import read_summary, read_tracks

NODE = "trajforecast_ros.forecast_node"
SIZES = {"side": (48, 65), "effector": (31, 40)}  # height, width; odd ones on purpose
SAMPLES = 2
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
FORECAST_SECONDS = 30


def picture(view: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZES[view], 3), dtype=np.uint8)


class Robot:
    """The cameras, the operator and a subscriber to the forecasts."""

    def __init__(self, listener, compressed: bool = False, camera_qos=qos_profile_sensor_data):
        self.listener = listener
        node = listener.node
        kind, suffix = (CompressedImage, "/compressed") if compressed else (Image, "")
        self.cameras = {view: node.create_publisher(kind, f"{view}/image_raw{suffix}", camera_qos) for view in SIZES}
        self.tracks, self.summaries, self.diagnostics = [], [], []
        self._subscriptions = [
            node.create_subscription(PredictedTracks, "/predicted_tracks", self.tracks.append, RELIABLE),
            node.create_subscription(TrackSummary, "/predicted_tracks/summary", self.summaries.append, RELIABLE),
            node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10),
        ]
        self.instruct = node.create_publisher(String, "/forecast_node/instruction", LATCHED)
        self.predict = node.create_client(Predict, "/forecast_node/predict")
        self.enable = node.create_client(SetBool, "/forecast_node/enable")

    def wait_until_connected(self, node) -> None:
        def connected() -> bool:
            assert node.process.poll() is None, f"the node ended:\n{node.output}"
            cameras = all(camera.get_subscription_count() for camera in self.cameras.values())
            return cameras and all(self.listener.node.count_publishers(s.topic_name) for s in self._subscriptions)

        self.listener.wait_for(connected, "discovery of the node", seconds=60)

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

        self.listener.wait_for(try_again, f"a forecast of {views} at {stamp}", FORECAST_SECONDS)
        return came(self.tracks)[-1], came(self.summaries)[-1]


def header(view: str, stamp: int) -> Header:
    return Header(stamp=Time(sec=stamp, nanosec=20_000_000 if view == "effector" else 0), frame_id=f"{view}_optical")


@pytest.fixture
def forecast_node(start_node, tiny_checkpoint):
    def start(remappings=None, **parameters):
        chosen = {"checkpoint": tiny_checkpoint, "num_samples": SAMPLES, "camera_timeout": 600.0, **parameters}
        return start_node(NODE, chosen, remappings)

    return start


def test_tracks_in_source_pixels_with_the_source_stamp(forecast_node, listener, tiny_checkpoint):
    robot = Robot(listener)
    node = forecast_node(instruction="pick up the milk")
    robot.wait_until_connected(node)

    tracks_message, summary_message = robot.forecast_of(stamp=100)
    tracks, summary = read_tracks(tracks_message), read_summary(summary_message)

    assert tracks.tracks.shape == (2, SAMPLES, FRAMES, *GRID, 2)
    assert tracks_message.header == header("effector", 100), "the newest image's header"
    assert [view.header for view in tracks_message.views] == [header(view, 100) for view in SIZES]
    assert tracks.image_sizes == tuple(SIZES.values())
    assert tracks_message.dt == 0.05
    assert tracks_message.instruction == "pick up the milk"

    expected = Forecaster.from_pretrained(tiny_checkpoint).predict(
        {view: picture(view) for view in SIZES}, "pick up the milk", k=SAMPLES, seed=0
    )
    assert np.allclose(tracks.tracks, expected.tracks, atol=1e-3)
    assert np.allclose(summary.mean_t, expected.mean_track, atol=1e-3)
    assert np.allclose(summary.spread, expected.spread, atol=1e-3)
    assert summary.min_index.tolist() == expected.medoid.tolist()
    assert np.array_equal(summary.min[1], tracks.tracks[1, summary.min_index[1]])

    assert node.stop(signal.SIGINT) == 0, node.output
    assert "Traceback" not in node.output


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

    listener.wait_for(pair_came, "a forecast of both", FORECAST_SECONDS)
    listener.wait_for(lambda: node.said("camera effector is back"), "the camera's return")
    assert node.output.count("camera effector is back") == 1


def test_images_it_cannot_use_are_named_once_and_do_not_stop_it(forecast_node, listener):
    robot = Robot(listener)
    node = forecast_node(instruction="go")
    robot.wait_until_connected(node)

    def refused() -> bool:
        for view, camera in robot.cameras.items():
            message = to_message(picture(view), header(view, 3))
            message.encoding = "16UC1"
            camera.publish(message)
        return node.said("images of camera side are refused") and node.said("images of camera effector are refused")

    listener.wait_for(refused, "the refusal", FORECAST_SECONDS)
    assert "'16UC1'" in node.output
    robot.forecast_of(stamp=4)
    assert node.output.count("images of camera side are refused") == 1


def test_compressed_images(forecast_node, listener):
    robot = Robot(listener, compressed=True)
    node = forecast_node(instruction="go", image_transport="compressed")
    robot.wait_until_connected(node)

    def came() -> bool:
        for view, camera in robot.cameras.items():
            _, data = cv2.imencode(".png", picture(view)[..., ::-1])
            camera.publish(CompressedImage(header=header(view, 9), format="png", data=data.tobytes()))
        return bool(robot.tracks)

    listener.wait_for(came, "a forecast", FORECAST_SECONDS)
    assert read_tracks(robot.tracks[0]).image_sizes == tuple(SIZES.values())


def test_cameras_that_publish_reliably(forecast_node, listener):
    robot = Robot(listener, camera_qos=RELIABLE)
    node = forecast_node(instruction="go")
    robot.wait_until_connected(node)

    robot.forecast_of(stamp=1)


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
    first, second = (listener.call(robot.predict, request, FORECAST_SECONDS) for _ in range(2))
    assert first.success, first.message
    assert read_tracks(first.tracks).tracks.shape == (2, 3, FRAMES, *GRID, 2)
    assert first.tracks.seed == 5
    assert first.tracks.tracks == second.tracks.tracks, "the same seed gives the same forecast"
    assert np.array_equal(read_summary(first.summary).mean_t, read_summary(second.summary).mean_t)

    answer = listener.call(robot.predict, Predict.Request(instruction="go", num_samples=10**6))
    assert not answer.success and "num_samples" in answer.message


def test_enable_pauses_and_resumes(forecast_node, listener):
    robot = Robot(listener)
    node = forecast_node(instruction="go")
    robot.wait_until_connected(node)
    robot.forecast_of(stamp=1)

    assert listener.call(robot.enable, SetBool.Request(data=False)).success
    listener.wait_for(
        lambda: "enable" in robot.diagnostics[-1].status[0].message if robot.diagnostics else False, "the pause"
    )
    robot.tracks.clear()
    robot.see(stamp=2)
    count = len(robot.diagnostics)
    listener.wait_for(lambda: len(robot.diagnostics) > count, "the next diagnostics")
    assert not [message for message in robot.tracks if message.header.stamp.sec == 2]

    assert listener.call(robot.enable, SetBool.Request(data=True)).success
    robot.forecast_of(stamp=3)


def test_diagnostics_report_latency_rate_and_drops(forecast_node, listener):
    robot = Robot(listener)
    node = forecast_node(instruction="go")
    robot.wait_until_connected(node)
    robot.forecast_of(stamp=1)
    for stamp in range(2, 40):
        robot.see(stamp)

    def reported() -> bool:
        if not robot.diagnostics:
            return False
        keys = {value.key for value in robot.diagnostics[-1].status[0].values}
        return {"latency, median (s)", "rate (1/s)", "images dropped: superseded", "image age, last (s)"} <= keys

    listener.wait_for(reported, "full diagnostics")
    assert robot.diagnostics[-1].status[0].name == "/forecast_node"


def test_overlay_only_when_somebody_listens(forecast_node, listener):
    robot = Robot(listener)
    node = forecast_node(instruction="go")
    robot.wait_until_connected(node)
    pictures = []
    subscription = listener.node.create_subscription(Image, "/forecast_node/overlay/side", pictures.append, RELIABLE)
    listener.wait_for(lambda: listener.node.count_publishers(subscription.topic_name), "the overlay's publisher")

    def came() -> bool:
        robot.see(stamp=1)
        return bool(pictures)

    listener.wait_for(came, "an overlay", FORECAST_SECONDS)
    assert to_rgb(pictures[0]).std() > 0
    assert pictures[0].header == header("side", 1)


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

    listener.wait_for(try_again, "a forecast", 60)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"checkpoint": "/no/such/folder"}, "/no/such/folder"),
        ({"dtype": "float8"}, "choose one of float32, bfloat16"),
        ({"views": "[side, side]"}, "views"),
        ({"views": "[front]"}, "front"),
        ({"num_samples": 0}, "num_samples"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_wrong_parameters_end_it_with_one_message(forecast_node, parameters, complaint):
    node = forecast_node(**parameters)

    assert node.process.wait(timeout=60) == 2, node.output
    assert complaint in node.output
    assert "Traceback" not in node.output


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly_also_while_it_forecasts(forecast_node, listener, with_signal):
    robot = Robot(listener)
    node = forecast_node(instruction="go", solver_steps=50)
    robot.wait_until_connected(node)
    robot.forecast_of(stamp=1)
    robot.see(stamp=2)

    assert node.stop(with_signal) == 0, node.output
    assert "Traceback" not in node.output


def test_signal_while_it_loads(forecast_node, listener):
    node = forecast_node(instruction="go")
    listener.wait_for(lambda: node.said("loading checkpoint"), "loading", seconds=60)

    assert node.stop(signal.SIGINT) == 0, node.output


def test_query_points_are_where_the_tracks_of_a_source_image_start(tiny_checkpoint):
    """The node's arrays inherit it from the forecaster: pixels of the image that came in."""
    points = rescale(query_points(GRID, (128, 128)), (128, 128), SIZES["side"])

    assert points[..., 0].max() < SIZES["side"][1] and points[..., 1].max() < SIZES["side"][0]
