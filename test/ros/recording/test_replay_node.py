"""replay_node and record_node as processes of their own."""

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from robot import LATCHED, header
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CompressedImage, Image
from small_episode import FRAMES, small_episode
from std_msgs.msg import String

from trajforecast_model.data.episode import Episode
from trajforecast_ros.images import to_rgb
from trajforecast_ros.messages import nanoseconds
from trajforecast_ros.qos import EVERYTHING
from trajforecast_ros.recording.recording import Recording

REPLAY, RECORD = "trajforecast_ros.recording.replay_node", "trajforecast_ros.recording.record_node"
START_STAMP = 5_000_000_000


@pytest.fixture
def episode_file(tmp_path):
    path = tmp_path / "episode.npz"
    small_episode("push the wall").save(path)
    return path


def test_every_frame_comes_in_order_with_the_episodes_stamps(start_node, listener, episode_file):
    came = {"side": [], "effector": []}
    instructions = []
    for view, messages in came.items():
        listener.node.create_subscription(Image, f"{view}/image_raw", messages.append, EVERYTHING)
    listener.node.create_subscription(String, "forecast_node/instruction", instructions.append, LATCHED)
    node = start_node(REPLAY, {"episode": episode_file, "loop": False, "speed": 2.0, "start_stamp": START_STAMP}, None)
    listener.wait_for(lambda: node.process.poll() is not None, "the end of the replay")
    listener.wait_for(lambda: all(len(messages) == FRAMES for messages in came.values()), "every frame")

    assert node.process.returncode == 0, node.output
    assert instructions[-1].data == "push the wall"
    episode = Episode.load(episode_file)
    for view, messages in came.items():
        assert [nanoseconds(message.header) for message in messages] == [
            START_STAMP + 50_000_000 * i for i in range(FRAMES)
        ]
        assert all(np.array_equal(to_rgb(m), frame) for m, frame in zip(messages, episode.frames[view], strict=True))
        assert messages[0].header.frame_id == f"{view}_camera_optical_frame"


def test_it_plays_again_when_told_to_loop(start_node, listener, episode_file):
    came = []
    listener.node.create_subscription(Image, "side/image_raw", came.append, EVERYTHING)
    node = start_node(REPLAY, {"episode": episode_file, "loop": True, "speed": 4.0, "wait_for_subscribers": 0})

    listener.wait_for(lambda: len(came) > 2 * FRAMES, "the third round")
    assert node.stop() == 0, node.output


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"episode": "/no/such.npz"}, "/no/such.npz"),
        ({"episode": "/no/such.mcap"}, "/no/such.mcap"),
        ({"episode": "/proc/self/fd"}, "neither a metadata.yaml nor"),
        ({"speed": 0.0}, "speed"),
    ],
)
def test_wrong_parameters_end_it_with_one_message(start_node, parameters, complaint):
    node = start_node(REPLAY, parameters)

    assert node.exit_code() == 2
    assert complaint in node.output
    assert "Traceback" not in node.output


def test_the_recorder_records_every_image_and_its_bag_is_played_again(start_node, listener, episode_file, tmp_path):
    recorder = start_node(RECORD, {"output": tmp_path / "recording"})
    replay = start_node(REPLAY, {"episode": episode_file, "loop": False, "speed": 1.0, "start_stamp": START_STAMP})
    recording = Recording(tmp_path / "recording")

    def recorded() -> bool:
        recording.update()
        return len(recording.image_stamps("effector")) == len(recording.image_stamps("side")) == FRAMES

    listener.wait_for(lambda: replay.process.poll() is not None, "the end of the replay")
    listener.wait_for(recorded, "every image on disk")
    assert recorder.stop() == 0, recorder.output
    assert np.array_equal(recording.image("side", START_STAMP), Episode.load(episode_file).frames["side"][0])

    came, instructions = {"side": [], "effector": []}, []
    for view, messages in came.items():
        listener.node.create_subscription(Image, f"{view}/image_raw", messages.append, EVERYTHING)
    listener.node.create_subscription(String, "forecast_node/instruction", instructions.append, LATCHED)
    again = start_node(REPLAY, {"episode": tmp_path / "recording", "loop": False, "speed": 2.0})
    listener.wait_for(lambda: again.process.poll() is not None, "the end of the bag")
    listener.wait_for(lambda: all(len(messages) == FRAMES for messages in came.values()), "every image")
    assert again.process.returncode == 0, again.output
    assert instructions[-1].data == "push the wall"
    for view, messages in came.items():
        assert [nanoseconds(message.header) for message in messages] == recording.image_stamps(view)
        assert np.array_equal(to_rgb(messages[5]), Episode.load(episode_file).frames[view][5])


def test_a_bag_that_another_made_is_played_with_what_is_known_of_it(start_node, listener, tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg("int32 x", "nowhere_msgs/msg/Odd"))
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        camera = writer.add_connection("/cam/compressed", "sensor_msgs/msg/CompressedImage", typestore=store)
        odd = writer.add_connection("/odd", "nowhere_msgs/msg/Odd", typestore=store)
        writer.write(odd, 0, bytes(8))
        for index in range(3):
            message = CompressedImage(header=header("side", index), format="png", data=[index])
            writer.write(camera, index, bytes(serialize_message(message)))
    came = []
    listener.node.create_subscription(CompressedImage, "/cam/compressed", came.append, EVERYTHING)
    node = start_node(REPLAY, {"episode": tmp_path / "bag", "loop": False})

    listener.wait_for(lambda: node.process.poll() is not None, "the end of the bag")
    listener.wait_for(lambda: len(came) == 3, "every image")
    assert node.process.returncode == 0, node.output
    assert [message.data[0] for message in came] == [0, 1, 2]
    assert "/odd is not played: nowhere_msgs/msg/Odd is not installed here" in node.output


@pytest.mark.parametrize("said", [False, True])
def test_the_instruction_that_a_bags_recorder_noted_is_said_where_none_was_recorded(
    start_node, listener, tmp_path, said
):
    store = get_typestore(Stores.ROS2_JAZZY)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.set_custom_data("instruction", "put the cup \n on the plate")
        camera = writer.add_connection("/cam/compressed", "sensor_msgs/msg/CompressedImage", typestore=store)
        if said:
            topic = writer.add_connection("/forecast_node/instruction", "std_msgs/msg/String", typestore=store)
            writer.write(topic, 0, bytes(serialize_message(String(data="push the wall"))))
        message = CompressedImage(header=header("side", 0), format="png", data=[1])
        writer.write(camera, 1, bytes(serialize_message(message)))
    came, instructions = [], []
    listener.node.create_subscription(CompressedImage, "/cam/compressed", came.append, EVERYTHING)
    quality = EVERYTHING if said else LATCHED  # as the recorded topic was; what is noted is said before we may be there
    listener.node.create_subscription(String, "forecast_node/instruction", instructions.append, quality)
    node = start_node(REPLAY, {"episode": tmp_path / "bag", "loop": True})
    listener.wait_for(lambda: came and instructions, "an image and the instruction")
    assert {message.data for message in instructions} == {"push the wall" if said else "put the cup on the plate"}
    assert node.stop() == 0, node.output
