"""What a message's picture is: the same by cv_bridge, where it is there and fits, as without it."""

import io

import cv2
import numpy as np
import PIL.Image
import pytest
from rosbags.image import image_to_cvimage
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trajforecast_model.image_messages import bridge, raw
from trajforecast_ros.images import ENCODINGS, ImageRefused, to_message, to_rgb

HEIGHT, WIDTH = 6, 10
BAYER = ("bayer_rggb", "bayer_bggr", "bayer_gbrg", "bayer_grbg")
BYTES_OF_A_PIXEL = {
    **{"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1},
    **{"rgb16": 6, "bgr16": 6, "rgba16": 8, "bgra16": 8, "mono16": 2},
    **{"uyvy": 2, "yuv422": 2, "yuyv": 2, "yuv422_yuy2": 2},
    **{"nv12": 1, "nv21": 1, "nv24": 1},
    **{f"{pattern}8": 1 for pattern in BAYER},
    **{f"{pattern}16": 2 for pattern in BAYER},
}
# As many rows for each of the picture's: chroma follows luma, in nv24 two rows for one.
ROWS = {"nv12": 1.5, "nv21": 1.5, "nv24": 3}
EIGHT_BIT = [encoding for encoding in BYTES_OF_A_PIXEL if not encoding.endswith("16") and encoding not in ROWS]
SIXTEEN_BIT = [encoding for encoding in BYTES_OF_A_PIXEL if encoding.endswith("16")]


@pytest.fixture(params=["OpenCV's", *(["cv_bridge's"] if bridge.conversion() else [])], autouse=True)
def whose_colours(request, monkeypatch):
    if request.param == "OpenCV's":
        monkeypatch.setattr(bridge, "conversion", lambda: None)


def test_every_encoding_has_tests():
    assert set(ENCODINGS) == set(BYTES_OF_A_PIXEL)


def message_of(encoding: str, rows: np.ndarray, padding: int = 0, big_endian: bool = False) -> Image:
    """rows: uint8 [height, bytes of a row]; padding bytes are 0xAB so that using one shows."""
    height, row_bytes = round(len(rows) / ROWS.get(encoding, 1)), rows.shape[1]
    message = Image(height=height, width=row_bytes // BYTES_OF_A_PIXEL[encoding], encoding=encoding)
    message.step = row_bytes + padding
    message.is_bigendian = int(big_endian)
    if encoding == "nv24":
        planes = [(rows[:height], padding), (rows[height:].reshape(height, 2 * row_bytes), 2 * padding)]
    else:
        planes = [(rows, padding)]
    padded = [np.pad(plane, ((0, 0), (0, extra)), constant_values=0xAB) for plane, extra in planes]
    message.data = b"".join(plane.tobytes() for plane in padded)
    return message


def random_rows(encoding: str, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    random = np.random.default_rng(0)
    rows = round(height * ROWS.get(encoding, 1))
    return random.integers(0, 256, (rows, width * BYTES_OF_A_PIXEL[encoding]), dtype=np.uint8)


PIXEL = np.array([200, 100, 50], dtype=np.uint8)  # red, green, blue


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("rgb8", [200, 100, 50]),
        ("bgr8", [50, 100, 200]),
        ("rgba8", [200, 100, 50, 7]),
        ("bgra8", [50, 100, 200, 7]),
        ("rgb16", [200, 200, 100, 100, 50, 50]),
        ("bgr16", [50, 50, 100, 100, 200, 200]),
        ("rgba16", [200, 200, 100, 100, 50, 50, 7, 7]),
        ("bgra16", [50, 50, 100, 100, 200, 200, 7, 7]),
    ],
)
def test_colours_are_where_the_encoding_says(encoding, data):
    rgb = to_rgb(message_of(encoding, np.array([data], dtype=np.uint8)))

    assert rgb.tolist() == [[PIXEL.tolist()]]


def test_mono_is_gray():
    assert to_rgb(message_of("mono8", np.array([[77]], dtype=np.uint8))).tolist() == [[[77, 77, 77]]]


@pytest.mark.parametrize(
    ("encoding", "data", "little", "big"),
    [
        # 0x1234 / 257 = 18.1 and 0x3412 / 257 = 51.9
        ("mono16", [0x34, 0x12], [18, 18, 18], [52, 52, 52]),
        ("rgb16", [0x34, 0x12, 0xFF, 0x00, 0x00, 0x80], [18, 1, 128], [52, 254, 0]),
        ("bgr16", [0x00, 0x80, 0xFF, 0x00, 0x34, 0x12], [18, 1, 128], [52, 254, 0]),
    ],
)
def test_byte_order_of_16_bit_images_is_honoured(encoding, data, little, big):
    rows = np.array([data], dtype=np.uint8)

    assert to_rgb(message_of(encoding, rows)).tolist() == [[little]]
    assert to_rgb(message_of(encoding, rows, big_endian=True)).tolist() == [[big]]


def test_16_bits_are_scaled_to_8_and_rounded():
    every_value = np.arange(65536)
    rgb = to_rgb(message_of("mono16", every_value.astype("<u2").view(np.uint8).reshape(256, 512)))

    assert np.array_equal(rgb[..., 0].ravel(), (every_value + 128) // 257)


# BT.601 by hand: R = 1.164 (Y - 16) + 1.596 (V - 128), G = 1.164 (Y - 16) - 0.813 (V - 128) - 0.391 (U - 128),
# B = 1.164 (Y - 16) + 2.018 (U - 128). Two neighbours share U = 90, V = 240; then U = V = 128.
YUV_PIXELS = [[254, 0, 0], [255, 74, 73], [128, 128, 128], [0, 0, 0]]  # of Y = 81, 145, 126, 16


@pytest.mark.parametrize(
    ("encodings", "data"),
    [
        (("uyvy", "yuv422"), [90, 81, 240, 145, 128, 126, 128, 16]),
        (("yuyv", "yuv422_yuy2"), [81, 90, 145, 240, 126, 128, 16, 128]),
    ],
)
def test_yuv422_takes_luma_and_chroma_from_their_places(encodings, data):
    for encoding in encodings:
        assert to_rgb(message_of(encoding, np.array([data], dtype=np.uint8))).tolist() == [YUV_PIXELS], encoding


@pytest.mark.parametrize(
    ("encoding", "chroma"),
    [
        ("nv12", [[90, 240, 128, 128]]),
        ("nv21", [[240, 90, 128, 128]]),
        ("nv24", [[90, 240, 90, 240], [128, 128, 128, 128]] * 2),
    ],
)
def test_semi_planar_yuv_takes_chroma_from_behind_the_luma(encoding, chroma):
    rows = np.array([[81, 145, 126, 16]] * 2 + chroma, dtype=np.uint8)

    assert to_rgb(message_of(encoding, rows)).tolist() == [YUV_PIXELS] * 2


MOSAIC = np.array([[0, 40, 80, 44], [20, 60, 24, 200], [100, 48, 160, 52], [28, 220, 32, 240]], dtype=np.uint8)
# The four inner pixels by hand: a colour that a pixel lacks is the average of the nearest two or four that have it.
INNER_PIXELS = {
    "bayer_rggb": [[[85, 33, 60], [120, 24, 130]], [[130, 48, 140], [160, 39, 180]]],
    "bayer_bggr": [[[60, 33, 85], [130, 24, 120]], [[140, 48, 130], [180, 39, 160]]],
    "bayer_grbg": [[[44, 60, 22], [46, 125, 24]], [[48, 135, 26], [50, 160, 28]]],
    "bayer_gbrg": [[[22, 60, 44], [24, 125, 46]], [[26, 135, 48], [28, 160, 50]]],
}


@pytest.mark.parametrize("pattern", BAYER)
def test_mosaics_get_the_colours_of_their_neighbours(pattern):
    rgb = to_rgb(message_of(f"{pattern}8", MOSAIC))

    assert rgb[1:3, 1:3].tolist() == INNER_PIXELS[pattern]


@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.parametrize("big_endian", [False, True])
def test_16_bit_mosaics_too(pattern, big_endian):
    rows = (MOSAIC * np.uint16(257)).astype(">u2" if big_endian else "<u2").view(np.uint8)
    rgb = to_rgb(message_of(f"{pattern}16", rows, big_endian=big_endian))

    assert rgb[1:3, 1:3].tolist() == INNER_PIXELS[pattern]


@pytest.mark.parametrize("size", [(3, 3), (3, 6), (7, 5)])
def test_a_mosaic_of_one_colour_is_that_colour_to_its_borders(size):
    mosaic = np.tile(np.array([[200, 100], [100, 50]], dtype=np.uint8), (4, 4))[: size[0], : size[1]]

    assert (to_rgb(message_of("bayer_rggb8", mosaic)) == PIXEL).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("padding", [2, 6])
def test_row_padding_changes_nothing(encoding, padding):
    rows = random_rows(encoding)

    assert np.array_equal(to_rgb(message_of(encoding, rows, padding)), to_rgb(message_of(encoding, rows)))


@pytest.mark.parametrize("encoding", EIGHT_BIT)
@pytest.mark.parametrize("size", [(3, 4), (6, 10), (7, 6)])
def test_agrees_with_another_implementation(encoding, size):
    message = message_of(encoding, random_rows(encoding, *size))

    assert np.array_equal(to_rgb(message), image_to_cvimage(message, "rgb8"))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 2)])
def test_agrees_with_another_implementation_at_odd_sizes(encoding, size):
    message = message_of(encoding, random_rows(encoding, *size))

    assert np.array_equal(to_rgb(message), image_to_cvimage(message, "rgb8"))


@pytest.mark.parametrize("encoding", SIXTEEN_BIT)
@pytest.mark.parametrize("big_endian", [False, True])
def test_agrees_with_another_implementation_in_16_bits(encoding, big_endian):
    message = message_of(encoding, random_rows(encoding), big_endian=big_endian)
    difference = to_rgb(message).astype(int) - image_to_cvimage(message, "rgb8")

    assert set(np.unique(difference)) <= {0, 1}, "the other one cuts off where this one rounds"


def test_cv_bridge_is_asked_for_what_it_knows():
    """Its names in ROS 1 and 2; what a version does not know, or has other colours of, is OpenCV's."""
    known = [e for e in EIGHT_BIT if e not in ("rgb8", "uyvy", "yuyv", "yuv422_yuy2")]
    if bridge.conversion() is None:
        pytest.skip("no cv_bridge that was compiled for this numpy, or colours are OpenCV's now")
    assert all(raw._bridge_knows(encoding, np.uint8) for encoding in known)
    assert all(raw._bridge_knows(encoding, np.uint16) for encoding in SIXTEEN_BIT)


def test_last_row_may_come_without_its_padding():
    message = message_of("rgb8", random_rows("rgb8"), padding=6)
    whole = to_rgb(message)
    message.data = message.data[:-6]

    assert np.array_equal(to_rgb(message), whole)


def test_a_picture_in_the_messages_memory_is_to_be_read_only():
    message = message_of("rgb8", random_rows("rgb8"))
    rgb = to_rgb(message)

    assert np.shares_memory(rgb, np.frombuffer(message.data, dtype=np.uint8))
    assert not rgb.flags.writeable


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "8UC3", "bayer_rggb12", "nv42", "", "no such thing"])
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
        ({"encoding": "nv12", "width": 9}, "even"),
        ({"encoding": "nv21", "height": 5}, "even"),
        ({"encoding": "nv24", "height": HEIGHT, "step": 3 * WIDTH}, "got 180"),
        ({"encoding": "bayer_rggb8", "width": 2}, "at least 3"),
        ({"encoding": "bayer_grbg8", "height": 1}, "at least 3"),
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
    message = compressed(rgb[..., ::-1], extension, f"rgb8; {extension} compressed bgr8")

    assert np.abs(to_rgb(message).astype(int) - rgb).max() <= 3


@pytest.mark.parametrize("pattern", BAYER)
@pytest.mark.parametrize("bits", [8, 16])
def test_compressed_mosaics_get_their_colours(pattern, bits):
    mosaic = MOSAIC if bits == 8 else MOSAIC * np.uint16(257)
    rgb = to_rgb(compressed(mosaic, ".png", f"{pattern}{bits}; png compressed "))

    assert rgb[1:3, 1:3].tolist() == INNER_PIXELS[pattern]


def test_compressed_16_bit_images_are_scaled_like_raw_ones():
    bgr = np.array([[[0x8000, 0x00FF, 0x1234]]], dtype=np.uint16)

    assert to_rgb(compressed(bgr, ".png", "bgr16; png compressed bgr16")).tolist() == [[[18, 1, 128]]]


def test_compressed_gray_and_transparent_images_are_rgb():
    gray = compressed(np.array([[77]], dtype=np.uint8), ".png", "png")
    transparent = compressed(np.array([[[50, 100, 200, 7]]], dtype=np.uint8), ".png", "png")

    assert to_rgb(gray).tolist() == [[[77, 77, 77]]]
    assert to_rgb(transparent).tolist() == [[PIXEL.tolist()]]


def test_a_compressed_image_is_not_turned_by_its_orientation_tag():
    """The forecast is in the camera's own pixels."""
    data = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees to look at
    PIL.Image.new("RGB", (32, 16)).save(data, "JPEG", exif=exif)

    assert to_rgb(CompressedImage(format="jpeg", data=data.getvalue())).shape == (16, 32, 3)


def compressed(pixels: np.ndarray, extension: str, image_format: str) -> CompressedImage:
    _, data = cv2.imencode(extension, pixels)
    return CompressedImage(format=image_format, data=data.tobytes())


@pytest.mark.parametrize(
    ("image_format", "data", "complaint"),
    [
        ("jpeg", b"", "empty"),
        ("jpeg", b"not a picture", "no image"),
        ("16UC1; compressedDepth png", b"x", "depth"),
        ("tiff", cv2.imencode(".tiff", np.ones((2, 2, 3), np.float32))[1].tobytes(), "no image"),
        ("ppm", b"P6 200000 200000 255\n" + bytes(64), "OpenCV cannot"),
    ],
)
def test_compressed_data_that_is_no_colour_image_is_refused(image_format, data, complaint):
    with pytest.raises(ImageRefused, match=complaint):
        to_rgb(CompressedImage(format=image_format, data=data))


def gray16() -> np.ndarray:
    return np.random.default_rng(0).integers(400, 4000, (12, 16)).astype(np.uint16)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1", "8UC1", "8UC2", "8UC3", "16SC1", "mono12", "depth", ""])
@pytest.mark.parametrize(
    "wrapping", ["{}; png compressed ", "{}; jpeg compressed mono8", "{};compressedDepth png", "{} ;png"]
)
def test_what_is_refused_raw_is_refused_compressed(encoding, wrapping):
    for pixels in (gray16(), np.full((12, 16), 9, np.uint8), np.full((12, 16, 3), 9, np.uint8)):
        with pytest.raises(ImageRefused, match=r"depth|not an image that the model can see"):
            to_rgb(compressed(pixels, ".png", wrapping.format(encoding)))


@pytest.mark.parametrize(
    "image_format",
    [
        "png",
        "",
        "tiff",
        "png; compressed",
        "bgr8; png compressed bgr8",
        "rgb8; png compressed bgr8",
        "mono8; png compressed ",
        "rgb16; png compressed bgr16",
        "bgr16; png compressed ",
        "bayer_rggb8; png compressed ",
        "16UC1 png",
        "png compressed",
    ],
)
def test_gray_in_16_bits_is_depth_unless_a_name_of_16_bits_says_what_it_is(image_format):
    with pytest.raises(ImageRefused, match=r"depth|'16UC1'"):
        to_rgb(compressed(gray16(), ".png", image_format))


@pytest.mark.parametrize("image_format", ["mono16; png compressed ", "mono16; tiff compressed mono16", "mono16 png"])
def test_gray_in_16_bits_that_is_named_is_a_picture(image_format):
    expected = np.round(gray16() / 257)

    assert np.array_equal(to_rgb(compressed(gray16(), ".png", image_format))[..., 0], expected)


def test_colours_in_16_bits_are_a_picture_with_and_without_a_name():
    colours = np.full((2, 2, 3), 257 * 50, np.uint16)

    for image_format in ("png", "rgb16; png compressed bgr16", "png; compressed"):
        assert (to_rgb(compressed(colours, ".png", image_format)) == 50).all()
    with pytest.raises(ImageRefused, match="does not say bgr8"):
        to_rgb(compressed(colours, ".png", "bgr8; png compressed bgr8"))


def test_to_message_and_back():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    header = Header(frame_id="camera")
    message = to_message(rgb, header)

    assert (message.height, message.width, message.step, message.encoding) == (5, 7, 21, "rgb8")
    assert message.header.frame_id == "camera"
    assert np.array_equal(to_rgb(message), rgb)
