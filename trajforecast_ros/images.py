"""ROS image messages to RGB arrays and back, honouring row padding and byte order.

cv_bridge does the same where it is built for the numpy at hand; this needs only numpy and OpenCV, so it is the same
everywhere.
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
# sensor_msgs/image_encodings.hpp; its "yuv422" is UYVY and its "yuv422_yuy2" is YUYV.
_ENCODINGS: dict[str, tuple[int, int, int | None]] = {
    "rgb8": (1, 3, None),
    "bgr8": (1, 3, cv2.COLOR_BGR2RGB),
    "rgba8": (1, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": (1, 4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, 1, cv2.COLOR_GRAY2RGB),
    "rgb16": (2, 3, None),
    "bgr16": (2, 3, cv2.COLOR_BGR2RGB),
    "mono16": (2, 1, cv2.COLOR_GRAY2RGB),
    "uyvy": (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": (1, 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": (1, 2, cv2.COLOR_YUV2RGB_YUYV),
    "yuv422_yuy2": (1, 2, cv2.COLOR_YUV2RGB_YUYV),
}
_SHARED_CHROMA = ("uyvy", "yuv422", "yuyv", "yuv422_yuy2")

ENCODINGS = tuple(_ENCODINGS)


def to_rgb(message: Image | CompressedImage) -> np.ndarray:
    """The picture in a message, uint8 [height, width, 3].

    16-bit encodings keep their upper byte.

    Raises:
        ImageRefused: for an encoding that is not in ENCODINGS, an empty image, data that is too short for the
            announced size, or compressed data that is no image.
    """
    if isinstance(message, CompressedImage):
        return _decompress(message)
    if message.encoding not in _ENCODINGS:
        raise ImageRefused(
            f"encoding {message.encoding!r} is not an image that the model can see; publish one of {', '.join(ENCODINGS)}"
        )
    channel_bytes, channels, conversion = _ENCODINGS[message.encoding]
    pixels = _pixels(message, channel_bytes, channels)
    if message.encoding in _SHARED_CHROMA and message.width % 2:
        raise ImageRefused(
            f"encoding {message.encoding!r} shares colour between two neighbours, so its width must be even, "
            f"got {message.width}x{message.height}"
        )
    if channel_bytes == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    if conversion is None:
        return np.array(pixels)  # a copy: the message's memory is not ours to keep
    return cv2.cvtColor(np.ascontiguousarray(pixels), conversion)


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
    if channel_bytes == 2:
        rows = np.ascontiguousarray(rows).view(">u2" if message.is_bigendian else "<u2")
    return rows.reshape(height, width) if channels == 1 else rows.reshape(height, width, channels)


def _decompress(message: CompressedImage) -> np.ndarray:
    data = np.frombuffer(message.data, dtype=np.uint8)
    if not data.size:
        raise ImageRefused(f"the compressed image (format {message.format!r}) is empty")
    if "compressedDepth" in message.format:
        raise ImageRefused(f"format {message.format!r} is a depth image; subscribe to the camera's colour image")
    # OpenCV swaps to BGR whatever order the pixels had before compression, so the format's other words do not matter.
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if bgr is None:
        raise ImageRefused(
            f"{data.size} bytes of format {message.format!r} are no image that OpenCV reads; publish JPEG or PNG"
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
