"""sensor_msgs/Image to RGB arrays, honouring row padding and byte order.

Where cv_bridge is there and gives the colours that are expected of an encoding, they are its own; elsewhere OpenCV's.
"""

from functools import cache
from typing import Protocol

import cv2
import numpy as np

from trajforecast_model.image_messages import bridge


class ImageRefused(ValueError):
    """An image message that cannot be used: what came, what is wanted, what to do."""


class Image(Protocol):
    """sensor_msgs/Image, whoever made it. data: its bytes, as an array of the standard library or of numpy."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


# Encoding -> (bytes a channel, channels, OpenCV's conversion to RGB or None). The names are those of
# sensor_msgs/image_encodings.hpp; its "yuv422" is UYVY and its "yuv422_yuy2" is YUYV. A Bayer name there tells the
# four colours from the top-left pixel on; OpenCV's four-letter names do too, its two-letter ones start a row and a
# column later. "nv12", which that file lacks, is Isaac ROS's.
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
    "nv12": (1, 1, cv2.COLOR_YUV2RGB_NV12),
    "nv21": (1, 1, cv2.COLOR_YUV2RGB_NV21),
    "nv24": (1, 2, cv2.COLOR_YUV2RGB_UYVY),
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
_QUARTER_CHROMA = ("nv12", "nv21")
_WHOLE_CHROMA = "nv24"
_SMALLEST_MOSAIC = 3  # pixels a side; OpenCV makes smaller ones black

ENCODINGS = tuple(_ENCODINGS)


def to_rgb(message: Image) -> np.ndarray:
    """The picture in the message, uint8 [height, width, 3]: of rgb8 the message's own memory, to be read only.

    16-bit encodings are scaled from 0..65535 to 0..255 and rounded, as cv_bridge does.

    Raises:
        ImageRefused: for an encoding that is not in ENCODINGS, an empty image, data that is too short for the announced
            size, or a size that the encoding cannot have.
    """
    check(message.encoding)
    return colours(_pixels(message), message.encoding)


def check(encoding: str) -> None:
    """Raises ImageRefused for an encoding that is not in ENCODINGS."""
    if encoding not in _ENCODINGS:
        raise ImageRefused(
            f"encoding {encoding!r} is not an image that the model can see; publish one of {', '.join(ENCODINGS)}"
        )


def channel_bytes(encoding: str) -> int:
    return _ENCODINGS[encoding][0]


def colours(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """RGB uint8 [height, width, 3] of what the encoding's channels hold, uint8 or uint16.

    Raises:
        ImageRefused: for a size that the encoding cannot have.
    """
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
    if encoding == "rgb8":
        return pixels
    convert = bridge.conversion()
    if convert is not None and _bridge_knows(encoding, pixels.dtype.type):
        return convert(np.ascontiguousarray(pixels), encoding, "rgb8")
    return _opencv_colours(pixels, encoding)


@cache
def _bridge_knows(encoding: str, number: type[np.unsignedinteger]) -> bool:
    """Whether cv_bridge gives the colours of a known picture as they should be."""
    channels = _ENCODINGS[encoding][1]
    values = np.random.default_rng(0).integers(0, np.iinfo(number).max, (6, 8, channels), dtype=number, endpoint=True)
    known = values[..., 0] if channels == 1 else values
    try:
        given = bridge.conversion()(np.ascontiguousarray(known), encoding, "rgb8")
    except Exception:  # its own, or one of OpenCV's, for encodings that it has no colours of
        return False
    return np.array_equal(given, _opencv_colours(known, encoding))


def _opencv_colours(pixels: np.ndarray, encoding: str) -> np.ndarray:
    conversion = _ENCODINGS[encoding][2]
    if conversion is not None:
        pixels = cv2.cvtColor(pixels, conversion)
    if encoding == _WHOLE_CHROMA:
        return np.ascontiguousarray(pixels[:, ::2])
    if pixels.dtype == np.uint16:
        return cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    return pixels


def _pixels(message: Image) -> np.ndarray:
    """The message's data without its row padding, [height, width] or [height, width, channels]; of a semi-planar
    encoding as _ENCODINGS' conversion wants it."""
    encoding, height, width, step = message.encoding, message.height, message.width, message.step
    if not height or not width:
        raise ImageRefused(f"the image is empty: {width}x{height}")
    bytes_each, channels, _ = _ENCODINGS[encoding]
    if encoding in _QUARTER_CHROMA:
        if height % 2 or width % 2:
            raise ImageRefused(
                f"encoding {encoding!r} shares colour between four neighbours, so both sides must be even, got "
                f"{width}x{height}"
            )
        return rows_of(message, height + height // 2, width, step)
    if encoding == _WHOLE_CHROMA:
        luma = rows_of(message, height, width, step)
        chroma = rows_of(message, height, 2 * width, 2 * step, start=height * step).reshape(height, width, 2)
        # As UYVY in which each pixel stands twice.
        return np.stack([chroma[..., 0], luma, chroma[..., 1], luma], axis=-1).reshape(height, 2 * width, 2)
    rows = rows_of(message, height, width * channels * bytes_each, step)
    if bytes_each == 2:
        rows = rows.view(">u2" if message.is_bigendian else "<u2").astype(np.uint16, copy=False)
    return rows.reshape(height, width) if channels == 1 else rows.reshape(height, width, channels)


def rows_of(message: Image, count: int, row_bytes: int, step: int, start: int = 0) -> np.ndarray:
    """uint8 [count, row_bytes] of the message's data from byte `start` on, its padding left out."""
    width, height, encoding = message.width, message.height, message.encoding
    if step < row_bytes:
        raise ImageRefused(
            f"a row of {width} {encoding} pixels has {row_bytes} bytes, but the message's step is {step}"
        )
    # The last row may come without its padding.
    needed = start + step * (count - 1) + row_bytes
    if len(message.data) < needed:
        raise ImageRefused(
            f"a {width}x{height} {encoding} image with step {step} has {needed} bytes, got {len(message.data)}"
        )
    data = np.frombuffer(message.data, dtype=np.uint8, count=needed - start, offset=start)
    rows = np.lib.stride_tricks.as_strided(data, shape=(count, row_bytes), strides=(step, 1), writeable=False)
    return np.ascontiguousarray(rows)
