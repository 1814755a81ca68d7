"""replay_node and record_node as processes of their own."""

import numpy as np
import pytest
from robot import LATCHED
from sensor_msgs.msg import Image
from small_episode import FRAMES, SIZE, small_episode
from std_msgs.msg import String

from trajforecast_model.data.episode import Episode
from trajforecast_ros.images import to_rgb
from trajforecast_ros.messages import nanoseconds
from trajforecast_ros.qos import EVERYTHING
from trajforecast_ros.recording.folder import Recording

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
    ("parameters", "complaint"), [({"episode": "/no/such.npz"}, "/no/such.npz"), ({"speed": 0.0}, "speed")]
)
def test_wrong_parameters_end_it_with_one_message(start_node, parameters, complaint):
    node = start_node(REPLAY, parameters)

    assert node.exit_code() == 2
    assert complaint in node.output
    assert "Traceback" not in node.output


def test_the_recorder_writes_every_image(start_node, listener, episode_file, tmp_path):
    recorder = start_node(RECORD, {"output": tmp_path / "recording"})
    replay = start_node(REPLAY, {"episode": episode_file, "loop": False, "speed": 1.0, "start_stamp": START_STAMP})
    recording = Recording(tmp_path / "recording")
    listener.wait_for(lambda: replay.process.poll() is not None, "the end of the replay")
    listener.wait_for(lambda: len(recording.image_stamps("effector")) == FRAMES, "every image on disk")

    assert recorder.stop() == 0, recorder.output
    episode = Episode.load(episode_file)
    assert recording.image("side", START_STAMP).shape == (*SIZE, 3)
    assert np.array_equal(recording.image("side", START_STAMP), episode.frames["side"][0])


def test_a_recorder_without_a_folder_says_so(start_node):
    node = start_node(RECORD, {})

    assert node.exit_code() == 2
    assert "output" in node.output
