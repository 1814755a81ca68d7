"""One running forecast_node, a process of its own, used by several tests one after the other."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from robot import NODE, RELIABLE, SAMPLES, SIZES, Robot, header, picture, settings
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from tiny_checkpoint import write_tiny_checkpoint

from trajforecast_model import Forecaster
from trajforecast_ros.images import to_message, to_rgb
from trajforecast_ros.messages import read_summary, read_tracks

INSTRUCTION = "pick up the milk"
FRAMES, GRID, IMAGE_SIZE = 24, (30, 40), (240, 320)  # neither the usual ones nor square


@pytest.fixture(scope="module")
def wide_checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("wide"), FRAMES, GRID, IMAGE_SIZE, patch_size=10)


@pytest.fixture(scope="module")
def module_node(start_module_node, wide_checkpoint):
    return start_module_node(NODE, settings(wide_checkpoint, instruction=INSTRUCTION))


@pytest.fixture
def running_node(module_node, listener):
    """A node that many tests use one after the other, each with stamps of its own, and the robot it sees."""
    robot = Robot(listener)
    robot.wait_until_connected(module_node)
    return module_node, robot


def test_tracks_in_source_pixels_with_the_source_stamp(running_node, listener, wide_checkpoint):
    _, robot = running_node
    tracks_message, summary_message = robot.forecast_of(stamp=100)
    tracks, summary = read_tracks(tracks_message), read_summary(summary_message)

    assert tracks.tracks.shape == (2, SAMPLES, FRAMES, *GRID, 2)
    assert tracks_message.header == header("effector", 100), "the newest image's header"
    assert [view.header for view in tracks_message.views] == [header(view, 100) for view in SIZES]
    assert tracks.image_sizes == tuple(SIZES.values())
    assert tracks_message.dt == 0.05
    assert tracks_message.instruction == INSTRUCTION

    expected = Forecaster.from_pretrained(wide_checkpoint).predict(
        {view: picture(view) for view in SIZES}, INSTRUCTION, k=SAMPLES, seed=0
    )
    assert np.allclose(tracks.tracks, expected.tracks, atol=1e-3)
    assert np.allclose(summary.mean_t, expected.mean_track, atol=1e-3)
    assert np.allclose(summary.spread, expected.spread, atol=1e-3)
    assert summary.min_index.tolist() == expected.medoid.tolist()
    assert np.array_equal(summary.min[1], tracks.tracks[1, summary.min_index[1]])


def test_images_it_cannot_use_are_named_once_and_do_not_stop_it(running_node, listener):
    node, robot = running_node

    def refused() -> bool:
        for view, camera in robot.cameras.items():
            message = to_message(picture(view), header(view, 3))
            message.encoding = "16UC1"
            camera.publish(message)
        return node.said("images of camera side are refused") and node.said("images of camera effector are refused")

    listener.wait_for(refused, "the refusal")
    assert "'16UC1'" in node.output
    robot.forecast_of(stamp=4)
    assert node.output.count("images of camera side are refused") == 1


def test_cameras_that_publish_reliably(module_node, listener):
    robot = Robot(listener, camera_qos=RELIABLE)
    robot.wait_until_connected(module_node)

    robot.forecast_of(stamp=50)


def test_enable_pauses_and_resumes(running_node, listener):
    _, robot = running_node
    robot.forecast_of(stamp=10)

    assert listener.call(robot.enable, SetBool.Request(data=False)).success
    listener.wait_for(
        lambda: "enable" in robot.diagnostics[-1].status[0].message if robot.diagnostics else False, "the pause"
    )
    robot.tracks.clear()
    robot.see(stamp=11)
    count = len(robot.diagnostics)
    listener.wait_for(lambda: len(robot.diagnostics) > count, "the next diagnostics")
    assert not [message for message in robot.tracks if message.header.stamp.sec == 11]

    assert listener.call(robot.enable, SetBool.Request(data=True)).success
    robot.forecast_of(stamp=12)


def test_diagnostics_report_latency_rate_and_drops(running_node, listener):
    _, robot = running_node
    robot.forecast_of(stamp=20)
    for stamp in range(21, 60):
        robot.see(stamp)

    def reported() -> bool:
        if not robot.diagnostics:
            return False
        keys = {value.key for value in robot.diagnostics[-1].status[0].values}
        return {"latency, median (s)", "rate (1/s)", "images dropped: superseded", "image age, last (s)"} <= keys

    listener.wait_for(reported, "full diagnostics")
    assert robot.diagnostics[-1].status[0].name == "/forecast_node"


def test_diagnostics_say_what_is_used_and_why_the_rest_is_not(running_node, listener):
    _, robot = running_node
    robot.forecast_of(stamp=200)

    def show(view: str, encoding: str = "rgb8", ahead: int = 0) -> None:
        message = to_message(picture(view), header(view, 201 + ahead))
        message.encoding = encoding
        robot.cameras[view].publish(message)

    def wait_for(level: bytes, *texts: str, **cameras: dict) -> None:
        def said() -> bool:
            for view in SIZES:
                show(view, **cameras.get(view, {}))
            if not robot.diagnostics:
                return False
            status = robot.diagnostics[-1].status[0]
            return status.level == level and all(text in status.message for text in texts)

        listener.wait_for(said, f"diagnostics with {texts}")

    wait_for(DiagnosticStatus.OK, "forecasting side and effector")
    refused = {"encoding": "16UC1"}
    wait_for(DiagnosticStatus.WARN, "forecasting effector alone", "side: refused, encoding '16UC1'", side=refused)
    values = {value.key: value.value for value in robot.diagnostics[-1].status[0].values}
    assert values["camera side"].startswith("refused, encoding '16UC1'") and "last used" in values["camera side"]
    assert values["camera effector"].startswith("last used")
    wait_for(DiagnosticStatus.ERROR, "nothing is forecast", "side: ", "effector: ", side=refused, effector=refused)
    wait_for(DiagnosticStatus.ERROR, "stamps of side and effector are 5.020 s apart", effector={"ahead": 5})
    wait_for(DiagnosticStatus.OK, "forecasting side and effector")


def test_overlay_only_when_somebody_listens(running_node, listener):
    _, robot = running_node
    pictures = []
    subscription = listener.node.create_subscription(Image, "/forecast_node/overlay/side", pictures.append, RELIABLE)
    listener.wait_for(lambda: listener.node.count_publishers(subscription.topic_name), "the overlay's publisher")

    def came() -> bool:
        robot.see(stamp=70)
        return any(picture.header.stamp.sec == 70 for picture in pictures)

    listener.wait_for(came, "an overlay")
    assert to_rgb(pictures[0]).std() > 0
    assert pictures[-1].header == header("side", 70)
