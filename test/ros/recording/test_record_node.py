"""record_node beside cameras of every kind, all in the test's process, and as a process that is hindered."""

import resource
import shutil
import signal
import threading

import numpy as np
import pytest
from bags import read_with_rosbags, received
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from robot import LATCHED, RELIABLE, header, picture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from trajforecast_msgs.msg import ForecastScore, PredictedTracks, TrackSummary

from trajforecast_model.bags.bag import Bag
from trajforecast_ros.images import to_message
from trajforecast_ros.recording.bag_writer import BagWriter
from trajforecast_ros.recording.record_node import RecordNode
from trajforecast_ros.recording.writer_thread import WriterThread

RECORD = "trajforecast_ros.recording.record_node"
BIG = np.zeros((400, 600, 3), np.uint8)  # 0.7 MB


class Recorder:
    """A node that records, and what is in its bag by now."""

    def __init__(self, folder, **parameters):
        self.folder = folder
        given = {"output": str(folder), **parameters}
        self.node = RecordNode(parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])

    def recorded(self, topic: str) -> list[bytes]:
        return recorded(self.folder, topic)


def recorded(folder, topic: str) -> list[bytes]:
    """What is in a bag so far, while it is written."""
    try:
        with Bag(folder) as bag:
            return [message.data for message in bag.messages([topic])]
    except ValueError:  # read in the moment of a write
        return []


@pytest.fixture
def recorder(listener, tmp_path):
    recorder = Recorder(tmp_path / "bag")
    listener.executor.add_node(recorder.node)
    yield recorder
    listener.executor.remove_node(recorder.node)
    recorder.node.close()


KINDS = {
    "reliable": (Image, "side/image_raw", RELIABLE, to_message(picture("side"), header("side", 7))),
    "best effort": (
        Image,
        "effector/image_raw",
        qos_profile_sensor_data,
        to_message(picture("side"), header("side", 8)),
    ),
    "compressed": (CompressedImage, "side/image_raw/compressed", RELIABLE, CompressedImage(format="jpeg", data=[1, 2])),
    "another transport": (String, "side/image_raw/ffmpeg", RELIABLE, String(data="packet")),
    "another type": (CompressedImage, "effector/image_raw", RELIABLE, CompressedImage(format="png", data=[3])),
    "camera_info": (CameraInfo, "side/camera_info", RELIABLE, CameraInfo(width=5)),
    "volatile instruction": (String, "forecast_node/instruction", QoSProfile(depth=1), String(data="go")),
    "tracks": (PredictedTracks, "predicted_tracks", RELIABLE, PredictedTracks(instruction="go", seed=5)),
    "summary": (TrackSummary, "predicted_tracks/summary", RELIABLE, TrackSummary(instruction="go")),
    "score": (ForecastScore, "predicted_tracks/score", RELIABLE, ForecastScore(instruction="go")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_published_is_recorded_as_it_was_sent(recorder, listener, kind):
    message_type, topic, quality, message = KINDS[kind]
    publisher = listener.node.create_publisher(message_type, topic, quality)

    def came() -> bool:
        publisher.publish(message)
        return bool(recorder.recorded(f"/{topic}"))

    listener.wait_for(came, f"a message on {topic}")
    assert deserialize_message(recorder.recorded(f"/{topic}")[0], message_type) == message
    listener.node.destroy_publisher(publisher)


def test_an_instruction_that_was_said_before_is_recorded_and_a_volatile_one_after_it(recorder, listener):
    latched = listener.node.create_publisher(String, "forecast_node/instruction", LATCHED)
    latched.publish(String(data="before"))

    def texts() -> list[str]:
        words = recorder.recorded("/forecast_node/instruction")
        return [deserialize_message(word, String).data for word in words]

    listener.wait_for(lambda: texts() == ["before"], "the latched instruction")
    volatile = listener.node.create_publisher(String, "forecast_node/instruction", QoSProfile(depth=1))

    def said() -> bool:
        volatile.publish(String(data="after"))
        return "after" in texts()

    listener.wait_for(said, "the other one")
    assert texts()[0] == "before"


def test_messages_that_best_effort_loses_are_counted_by_topic(recorder, listener):
    publisher = listener.node.create_publisher(Image, "side/image_raw", QoSProfile(depth=1))
    message = to_message(BIG[:10, :10], header("side", 1))

    def came() -> bool:
        publisher.publish(message)
        return len(recorder.recorded("/side/image_raw")) > 1

    listener.wait_for(came, "messages")
    before = len(recorder.recorded("/side/image_raw"))
    # Nobody spins: of these the subscription keeps ten.
    for _ in range(50):
        publisher.publish(message)
    listener.wait_for(lambda: len(recorder.recorded("/side/image_raw")) > before, "the newest")

    def told() -> bool:
        publisher.publish(message)
        return "on the way" in recorder.node._losses().get("/side/image_raw", "")

    listener.wait_for(told, "the count")


class SlowDisk(BagWriter):
    """Writes when it may."""

    def __init__(self, folder):
        super().__init__(folder)
        self.may_write = threading.Event()

    def write(self, messages) -> None:
        self.may_write.wait()
        super().write(messages)


def test_what_the_disk_cannot_keep_up_with_is_left_out_and_counted_and_memory_stays_bounded(tmp_path):
    bag = SlowDisk(tmp_path / "bag")
    writer = WriterThread(bag, most_bytes=2 * BIG.nbytes)
    message = received("/side/image_raw", to_message(BIG, header("side", 1)))
    for _ in range(5):
        writer.add(message)
    assert writer.left_out == {"/side/image_raw": 4}, "the queue takes one: two are more than its bytes"
    bag.may_write.set()
    writer.close(seconds=60)

    assert writer.failure is None
    assert len(read_with_rosbags(tmp_path / "bag")) == 1


def test_what_is_not_written_when_the_time_is_over_is_counted(tmp_path):
    bag = SlowDisk(tmp_path / "bag")
    writer = WriterThread(bag, most_bytes=1 << 30)
    message = received("/side/image_raw", to_message(BIG, header("side", 1)))
    for _ in range(30):
        writer.add(message)
    threading.Timer(0, bag.may_write.set).start()
    writer.close(seconds=-1)

    written = len(read_with_rosbags(tmp_path / "bag"))
    assert written + writer.left_out["/side/image_raw"] == 30
    assert written < 30


@pytest.fixture
def start_recorder(start_node, listener, tmp_path):
    """A node in a process of its own, and a camera that it has recorded something of."""
    folder = tmp_path / "bag"
    camera = listener.node.create_publisher(Image, "side/image_raw", QoSProfile(depth=1))
    message = to_message(BIG, header("side", 1))

    def start():
        node = start_node(RECORD, {"output": folder})

        def came() -> bool:
            assert node.process.poll() is None, node.output
            camera.publish(message)
            return len(recorded(folder, "/side/image_raw")) >= 2

        listener.wait_for(came, "images on disk")
        return node

    def publish_until_it_ends(node) -> int:
        def ended() -> bool:
            camera.publish(message)
            return node.process.poll() is not None

        listener.wait_for(ended, "the end of the recorder")
        return node.process.returncode

    return start, publish_until_it_ends, folder


def errors(node) -> list[str]:
    return [line for line in node.output.splitlines() if "[ERROR]" in line or line.startswith("error")]


def test_a_disk_that_is_full_ends_it_with_one_line_and_what_is_whole_is_readable(start_recorder):
    start, publish_until_it_ends, folder = start_recorder
    node = start()
    size = 5 * BIG.nbytes
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (size, size))

    assert publish_until_it_ends(node) == 2
    [line] = errors(node)
    assert "too large" in line and "whole" in line and str(folder) in line
    assert "Traceback" not in node.output
    assert len(read_with_rosbags(folder)) >= 2
    assert sorted(path.suffix for path in folder.iterdir()) == [".mcap", ".yaml"]


def test_a_folder_that_is_removed_ends_it_with_one_line(start_recorder):
    start, publish_until_it_ends, folder = start_recorder
    node = start()
    shutil.rmtree(folder)

    assert publish_until_it_ends(node) == 2
    [line] = errors(node)
    assert "removed" in line and "whole" not in line
    assert "Traceback" not in node.output
    assert not folder.exists()


def test_a_recorder_that_is_killed_leaves_a_bag_that_rosbags_reads(start_recorder):
    start, _, folder = start_recorder
    node = start()
    node.stop(signal.SIGKILL)

    images = read_with_rosbags(folder)
    assert len(images) >= 2
    assert all(topic == "/side/image_raw" and message.height == BIG.shape[0] for topic, _, message in images)


def test_a_recorder_that_is_asked_to_end_says_what_it_has(start_recorder):
    start, _, folder = start_recorder
    node = start()

    assert node.stop() == 0, node.output
    assert "rosout" not in node.output
    assert f"recorded {len(read_with_rosbags(folder))} messages of 1 topics" in node.output


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({}, "output"),
        ({"output": "/proc/nothing"}, "/proc/nothing"),
        ({"output": "{full}"}, "holds something already"),
        ({"output": "{new}", "views": "[left rgb]"}, "left rgb"),
        ({"output": "{new}", "views": "['']"}, "empty"),
        ({"output": "{new}", "views": "side"}, "views"),
        ({"output": "{new}", "queue_megabytes": 1}, "queue_megabytes"),
    ],
)
def test_wrong_parameters_end_it_with_one_message(start_node, tmp_path, parameters, complaint):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    places = {"{full}": tmp_path / "full", "{new}": tmp_path / "new"}
    node = start_node(RECORD, {name: places.get(value, value) for name, value in parameters.items()})

    assert node.process.wait(timeout=300) == 2
    assert complaint in node.output
    assert "Traceback" not in node.output
    assert not (tmp_path / "new").exists()


def test_a_view_may_be_of_several_names(listener, tmp_path):
    recorder = Recorder(tmp_path / "bag", views=["left/rgb"])
    listener.executor.add_node(recorder.node)
    camera = listener.node.create_publisher(Image, "left/rgb/image_raw", RELIABLE)

    def came() -> bool:
        camera.publish(to_message(picture("side"), header("side", 1)))
        return bool(recorder.recorded("/left/rgb/image_raw"))

    listener.wait_for(came, "an image")
    listener.executor.remove_node(recorder.node)
    recorder.node.close()
