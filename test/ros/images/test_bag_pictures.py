"""A picture that a bag gives is, bit for bit, the one that the same message gives a node."""

import cv2
import numpy as np
import pytest
from bags import received, write_bag
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header, String
from test_image_messages import BYTES_OF_A_PIXEL, message_of, random_rows
from trajforecast_msgs.msg import PredictedTracks

from trajforecast_model.bags.bag import Bag
from trajforecast_model.data.sources.bags import pictures
from trajforecast_model.data.sources.bags.pictures import PictureStream
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import BagOptions, SourceOptions
from trajforecast_ros.images import ENCODINGS, ImageRefused, to_message, to_rgb


def of_the_bag(folder, message) -> np.ndarray:
    message.header.stamp.sec = 3
    write_bag(folder, [[received("/predicted_tracks", PredictedTracks()), received("/camera", message, 5)]])
    with Bag(folder) as bag:
        [recorded] = bag.as_written(["/camera"])
        [picture] = PictureStream().pictures(recorded)
    assert (picture.stamp, picture.time) == (3_000_000_000, 5)
    return picture.rgb()


def test_all_encodings_are_compared():
    assert set(BYTES_OF_A_PIXEL) == set(ENCODINGS)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("encoding", BYTES_OF_A_PIXEL)
def test_raw_pictures_are_the_same(tmp_path, encoding, big_endian):
    message = message_of(encoding, random_rows(encoding), padding=6, big_endian=big_endian)
    assert np.array_equal(of_the_bag(tmp_path / "bag", message), to_rgb(message))


FORMATS = {
    ".jpg": ["jpeg", "jpg", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed bgr8", "mono8; jpeg compressed "],
    ".png": ["png", "rgb8; png compressed bgr8", "bayer_rggb8; png compressed "],
}


@pytest.mark.parametrize("end, image_format", [(end, name) for end, names in FORMATS.items() for name in names])
def test_compressed_pictures_are_the_same(tmp_path, end, image_format):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    pixels = pixels[..., 0] if image_format.startswith(("mono", "bayer")) else pixels
    message = CompressedImage(format=image_format, data=cv2.imencode(end, pixels)[1].tobytes())
    assert np.array_equal(of_the_bag(tmp_path / "bag", message), to_rgb(message))


def test_depth_is_refused_alike(tmp_path):
    message = message_of("mono16", random_rows("mono16"))
    message.encoding = "16UC1"
    with pytest.raises(ImageRefused) as live:
        to_rgb(message)
    with pytest.raises(ImageRefused) as recorded:
        of_the_bag(tmp_path / "bag", message)
    assert str(live.value) == str(recorded.value)


def test_pictures_of_a_video_are_the_same_and_are_found_in_an_episode(tmp_path):
    """Of a stretch that begins between two key frames; the packets before it must be decoded too."""
    pytest.importorskip("av", reason="the video extra is not installed")
    from test_video import decoded, film

    packets = film("h264", 20)
    lives = [to_rgb(image) for image in decoded(packets)]
    types = pictures._types()
    entries = []
    for packet in packets:
        at = types.types["builtin_interfaces/msg/Time"](*divmod(packet.pts * 50_000_000, 1_000_000_000))
        header = types.types["std_msgs/msg/Header"](at, "camera")
        message = types.types[pictures.VIDEO](
            header, packet.width, packet.height, packet.encoding, packet.pts, packet.flags, False,
            np.frombuffer(packet.data, np.uint8),
        )  # fmt: skip
        entries.append((packet.pts * 50_000_000 + 1, types.serialize_cdr(message, pictures.VIDEO)))
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        camera = writer.add_connection("/cam/ffmpeg", pictures.VIDEO, typestore=types)
        words = writer.add_connection("/task", "std_msgs/msg/String", typestore=types)
        said = types.serialize_cdr(types.types["std_msgs/msg/String"]("go"), "std_msgs/msg/String")
        for time, data in entries:
            if time == entries[7][0]:
                writer.write(words, time, said)
            writer.write(camera, time, data)
    options = SourceOptions(
        cameras={"side": "/cam/ffmpeg"}, image_size=lives[0].shape[:2], bags=BagOptions(instruction_topic="/task")
    )
    [task] = find_sources([tmp_path / "bag"], options)
    [name] = task.names()
    frames = task.read(name).images["side"]
    assert len(frames) == 13
    assert all(np.array_equal(frames[number], live) for number, live in enumerate(lives[7:]))


def test_a_bag_of_record_node_is_read_without_naming_topics(tmp_path):
    """Whatever else it holds; the instruction is its own."""
    messages = []
    for number in range(6):
        time = number * 50_000_000
        for view in ("side", "effector"):
            image = to_message(np.full((48, 64, 3), 10 * number, np.uint8), Header())
            image.header.stamp.sec, image.header.stamp.nanosec = 1, time
            messages.append(received(f"/{view}/image_raw", image, time + 1))
        messages.append(received("/predicted_tracks", PredictedTracks(), time + 2))
    words = received("/forecast_node/instruction", String(data="take the milk"), 0)
    write_bag(tmp_path / "bag", [[words, *messages]])
    [task] = find_sources([tmp_path / "bag"], SourceOptions(image_size=(48, 64)))
    demo = task.read(*task.names())
    assert (task.task, demo.instruction) == ("take_the_milk", "take the milk")
    for view in ("side", "effector"):
        assert [frame[0, 0, 0] for frame in demo.images[view].values()] == [0, 10, 20, 30, 40, 50]
