import cv2
import numpy as np
import pytest
from rosbags.image import image_to_cvimage
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trajforecast_ros.images import ENCODINGS, ImageRefused, to_message, to_rgb

HEIGHT, WIDTH = 6, 10
CHANNEL_BYTES = {"rgb16": 2, "bgr16": 2, "mono16": 2}
CHANNELS = {"rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 1, "uyvy": 2, "yuv422": 2, "yuyv": 2, "yuv422_yuy2": 2}


def bytes_of_a_pixel(encoding: str) -> int:
    return CHANNELS.get(encoding, 3) * CHANNEL_BYTES.get(encoding, 1)


def message_of(encoding: str, rows: np.ndarray, padding: int = 0, big_endian: bool = False) -> Image:
    """rows: uint8 [height, bytes of a row]; padding bytes are 0xAB so that using one shows."""
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    message = Image(height=len(rows), width=rows.shape[1] // bytes_of_a_pixel(encoding), encoding=encoding)
    message.step = padded.shape[1]
    message.is_bigendian = int(big_endian)
    message.data = padded.tobytes()
    return message


def random_rows(encoding: str, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (height, width * bytes_of_a_pixel(encoding)), dtype=np.uint8)


PIXEL = np.array([200, 100, 50], dtype=np.uint8)  # red, green, blue


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("rgb8", [200, 100, 50]),
        ("bgr8", [50, 100, 200]),
        ("rgba8", [200, 100, 50, 7]),
        ("bgra8", [50, 100, 200, 7]),
        ("rgb16", [1, 200, 2, 100, 3, 50]),
        ("bgr16", [1, 50, 2, 100, 3, 200]),
    ],
)
def test_colours_are_where_the_encoding_says(encoding, data):
    rgb = to_rgb(message_of(encoding, np.array([data], dtype=np.uint8)))

    assert rgb.tolist() == [[PIXEL.tolist()]]


def test_mono_is_gray():
    assert to_rgb(message_of("mono8", np.array([[77]], dtype=np.uint8))).tolist() == [[[77, 77, 77]]]


@pytest.mark.parametrize(("big_endian", "expected"), [(False, 0x12), (True, 0x34)])
def test_byte_order_of_16_bit_images_is_honoured(big_endian, expected):
    rows = np.array([[0x34, 0x12]], dtype=np.uint8)

    assert to_rgb(message_of("mono16", rows, big_endian=big_endian)).tolist() == [[[expected] * 3]]


@pytest.mark.parametrize(
    ("encoding", "data"), [("uyvy", [90, 81, 240, 145]), ("yuv422", [90, 81, 240, 145]), ("yuyv", [81, 90, 145, 240])]
)
def test_yuv422_takes_luma_and_chroma_from_their_places(encoding, data):
    """BT.601 with Y = 81, U = 90, V = 240 is pure red; the neighbour shares the chroma and is brighter."""
    red, brighter = to_rgb(message_of(encoding, np.array([data], dtype=np.uint8)))[0].astype(int)

    assert np.abs(red - [255, 0, 0]).max() <= 2
    assert (brighter - red)[1] > 60


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding", [2, 6])
def test_row_padding_changes_nothing(encoding, padding):
    rows = random_rows(encoding)

    assert np.array_equal(to_rgb(message_of(encoding, rows, padding)), to_rgb(message_of(encoding, rows)))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 2)])
def test_agrees_with_another_implementation_at_odd_sizes(encoding, size):
    message = message_of(encoding, random_rows(encoding, *size))

    assert np.array_equal(to_rgb(message), image_to_cvimage(message, "rgb8"))


def test_last_row_may_come_without_its_padding():
    message = message_of("rgb8", random_rows("rgb8"), padding=6)
    whole = to_rgb(message)
    message.data = message.data[:-6]

    assert np.array_equal(to_rgb(message), whole)


def test_what_is_returned_does_not_share_the_messages_memory():
    message = message_of("rgb8", random_rows("rgb8"))
    rgb = to_rgb(message)
    before = rgb.copy()
    for i in range(len(message.data)):
        message.data[i] = 0

    assert np.array_equal(rgb, before)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "bayer_rggb8", "nv21", "", "no such thing"])
def test_other_encodings_are_refused_by_name(encoding):
    message = message_of("mono8", random_rows("mono8"))
    message.encoding = encoding

    with pytest.raises(ImageRefused, match=repr(encoding)):
        to_rgb(message)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"width": 0}, "empty"),
        ({"height": 0}, "empty"),
        ({"step": 3 * WIDTH - 1}, "step"),
        ({"height": HEIGHT + 1}, f"{(HEIGHT + 1) * WIDTH * 3} bytes"),
        ({"data": b""}, "got 0"),
        ({"encoding": "uyvy", "width": 9}, "even"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(change, complaint):
    message = message_of("rgb8", random_rows("rgb8"))
    for name, value in change.items():
        setattr(message, name, value)

    with pytest.raises(ImageRefused, match=complaint):
        to_rgb(message)


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_compressed_images_are_rgb(extension):
    rgb = np.full((16, 16, 3), PIXEL, dtype=np.uint8)
    _, data = cv2.imencode(extension, rgb[..., ::-1])
    message = CompressedImage(format=f"rgb8; {extension} compressed bgr8", data=data.tobytes())

    assert np.abs(to_rgb(message).astype(int) - rgb).max() <= 3


@pytest.mark.parametrize(
    ("image_format", "data", "complaint"),
    [("jpeg", b"", "empty"), ("jpeg", b"not a picture", "no image"), ("16UC1; compressedDepth png", b"x", "depth")],
)
def test_compressed_data_that_is_no_colour_image_is_refused(image_format, data, complaint):
    with pytest.raises(ImageRefused, match=complaint):
        to_rgb(CompressedImage(format=image_format, data=data))


def test_to_message_and_back():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    header = Header(frame_id="camera")
    message = to_message(rgb, header)

    assert (message.height, message.width, message.step, message.encoding) == (5, 7, 21, "rgb8")
    assert message.header.frame_id == "camera"
    assert np.array_equal(to_rgb(message), rgb)
