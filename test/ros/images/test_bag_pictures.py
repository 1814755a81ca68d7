"""A picture that a bag gives is, bit for bit, the one that the same message gives a node."""

import cv2
import numpy as np
import pytest
from bags import received, write_bag
from sensor_msgs.msg import CompressedImage
from test_image_messages import BYTES_OF_A_PIXEL, message_of, random_rows
from trajforecast_msgs.msg import PredictedTracks

from trajforecast_model.bags.bag import Bag
from trajforecast_model.data.sources.bags.pictures import PictureStream
from trajforecast_ros.images import ENCODINGS, ImageRefused, to_rgb


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
