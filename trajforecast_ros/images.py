"""ROS image messages to RGB arrays and back, honouring row padding and byte order.

cv_bridge is not used, not even where it is installed: its Python side fails on numpy 2 (vision_opencv issue 535) and
mistakes rows whose padding is no whole number of pixels. The colours here are the ones it gives; a test compares them
where it imports.
"""

import sys
from array import array

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header


class ImageRefused(ValueError):
    """An image message that cannot be used: what came, what is wanted, what to do."""


# Encoding -> (bytes a channel, channels, OpenCV's conversion to RGB or None). The names are those of
# sensor_msgs/image_encodings.hpp; its "yuv422" is UYVY and its "yuv422_yuy2" is YUYV. A Bayer name there tells the
# four colours from the top-left pixel on; OpenCV's four-letter names do too, its two-letter ones start a row and a
# column later.
_ENCODINGS: dict[str, tuple[int, int, int | None]] = {
    "rgb8": (1, 3, None),
    "bgr8": (1, 3, cv2.COLOR_BGR2RGB),
    "rgba8": (1, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": (1, 4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, 1, cv2.COLOR_GRAY2RGB),
    "rgb16": (2, 3, None),
    "bgr16": (2, 3, cv2.COLOR_BGR2RGB),
    "rgba16": (2, 4, cv2.COLOR_RGBA2RGB),
    "bgra16": (2, 4, cv2.COLOR_BGRA2RGB),
    "mono16": (2, 1, cv2.COLOR_GRAY2RGB),
    "uyvy": (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": (1, 2, cv2.COLOR_YUV2RGB_YUYV),
    "yuv422_yuy2": (1, 2, cv2.COLOR_YUV2RGB_YUYV),
    "bayer_rggb8": (1, 1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": (1, 1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": (1, 1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": (1, 1, cv2.COLOR_BayerGRBG2RGB),
    "bayer_rggb16": (2, 1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr16": (2, 1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg16": (2, 1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg16": (2, 1, cv2.COLOR_BayerGRBG2RGB),
}
_SHARED_CHROMA = ("uyvy", "yuv422", "yuyv", "yuv422_yuy2")
_SMALLEST_MOSAIC = 3  # pixels a side; OpenCV makes smaller ones black

ENCODINGS = tuple(_ENCODINGS)


def to_rgb(message: Image | CompressedImage) -> np.ndarray:
    """The picture in a message, uint8 [height, width, 3]: of rgb8 the message's own memory, to be read only.

    16-bit encodings are scaled from 0..65535 to 0..255 and rounded, as cv_bridge does.

    Raises:
        ImageRefused: for an encoding that is not in ENCODINGS, an empty image, data that is too short for the
            announced size, a size that the encoding cannot have, or compressed data that is no image.
    """
    if isinstance(message, CompressedImage):
        return _decompress(message)
    if message.encoding not in _ENCODINGS:
        raise ImageRefused(
            f"encoding {message.encoding!r} is not an image that the model can see; publish one of {', '.join(ENCODINGS)}"
        )
    channel_bytes, channels, _ = _ENCODINGS[message.encoding]
    return _colours(_pixels(message, channel_bytes, channels), message.encoding)


def to_message(rgb: np.ndarray, header: Header) -> Image:
    """An rgb8 message of uint8 [height, width, 3]."""
    height, width, _ = rgb.shape
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    message.is_bigendian = int(sys.byteorder == "big")
    # array('B', bytes) is the one assignment that rclpy takes over without looking at each byte.
    message.data = array("B", np.ascontiguousarray(rgb, dtype=np.uint8).tobytes())
    return message


def _pixels(message: Image, channel_bytes: int, channels: int) -> np.ndarray:
    """The message's data without its row padding, [height, width] or [height, width, channels]."""
    height, width, step = message.height, message.width, message.step
    if not height or not width:
        raise ImageRefused(f"the image is empty: {width}x{height}")
    row_bytes = width * channels * channel_bytes
    if step < row_bytes:
        raise ImageRefused(
            f"a row of {width} {message.encoding} pixels has {row_bytes} bytes, but the message's step is {step}"
        )
    # The last row may come without its padding.
    needed = step * (height - 1) + row_bytes
    if len(message.data) < needed:
        raise ImageRefused(
            f"a {width}x{height} {message.encoding} image with step {step} has {needed} bytes, got {len(message.data)}"
        )
    data = np.frombuffer(message.data, dtype=np.uint8, count=needed)
    rows = np.lib.stride_tricks.as_strided(data, shape=(height, row_bytes), strides=(step, 1), writeable=False)
    rows = np.ascontiguousarray(rows)
    if channel_bytes == 2:
        rows = rows.view(">u2" if message.is_bigendian else "<u2").astype(np.uint16, copy=False)
    return rows.reshape(height, width) if channels == 1 else rows.reshape(height, width, channels)


def _colours(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """RGB uint8 [height, width, 3] of what the encoding's channels hold, uint8 or uint16."""
    height, width = pixels.shape[:2]
    if encoding in _SHARED_CHROMA and width % 2:
        raise ImageRefused(
            f"encoding {encoding!r} shares colour between two neighbours, so its width must be even, got {width}x{height}"
        )
    if encoding.startswith("bayer_") and min(height, width) < _SMALLEST_MOSAIC:
        raise ImageRefused(
            f"encoding {encoding!r} takes colours from neighbours, so both sides must be at least {_SMALLEST_MOSAIC} "
            f"pixels, got {width}x{height}"
        )
    conversion = _ENCODINGS[encoding][2]
    if conversion is not None:
        pixels = cv2.cvtColor(pixels, conversion)
    if pixels.dtype == np.uint16:
        return cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    return pixels


def _decompress(message: CompressedImage) -> np.ndarray:
    data = np.frombuffer(message.data, dtype=np.uint8)
    if not data.size:
        raise ImageRefused(f"the compressed image (format {message.format!r}) is empty")
    if "compressedDepth" in message.format:
        raise ImageRefused(f"format {message.format!r} is a depth image; subscribe to the camera's colour image")
    # compressed_image_transport names what it compressed first: "bayer_rggb8; jpeg compressed ". It turns colours to
    # BGR, which is also OpenCV's order for every file, and leaves a mosaic as it was.
    compressed = message.format.split(";")[0].strip()
    is_mosaic = compressed.startswith("bayer_") and compressed in _ENCODINGS
    channels = cv2.IMREAD_GRAYSCALE if is_mosaic else cv2.IMREAD_COLOR
    try:
        # Without IGNORE_ORIENTATION, OpenCV turns pictures by their EXIF tag, away from the camera's own pixels.
        pixels = cv2.imdecode(data, channels | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageRefused(f"OpenCV cannot decompress format {message.format!r}: {error.err}") from error
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise ImageRefused(
            f"{data.size} bytes of format {message.format!r} are no image that the model can see; publish JPEG or PNG"
        )
    if is_mosaic:
        return _colours(pixels, compressed)
    return _colours(pixels, "bgr8" if pixels.dtype == np.uint8 else "bgr16")
