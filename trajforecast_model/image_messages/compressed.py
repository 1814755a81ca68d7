"""sensor_msgs/CompressedImage to RGB arrays.

compressed_image_transport names in `format` what it compressed: "bayer_rggb8; jpeg compressed ". It turns colours to
BGR, which is also OpenCV's order for every file, and leaves a mosaic as it was. Others write "jpeg" or "png" alone.
"""

import re
from typing import Protocol

import cv2
import numpy as np

from trajforecast_model.image_messages import raw
from trajforecast_model.image_messages.raw import ImageRefused

_FILE_FORMATS = ("jpeg", "jpg", "png", "tiff", "tif", "webp", "bmp", "ppm", "pgm", "jp2")
# OpenCV's names, which say how many numbers a pixel has and not what they mean: 16UC1 is depth.
_NUMBERS = re.compile(r"(8|16|32|64)[USF]C\d*", re.IGNORECASE)


class CompressedImage(Protocol):
    """sensor_msgs/CompressedImage, whoever made it."""

    format: str
    data: memoryview


def to_rgb(message: CompressedImage) -> np.ndarray:
    """The picture in the message, uint8 [height, width, 3].

    Raises:
        ImageRefused: for an encoding that would be refused raw, or data that is no image.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    if not data.size:
        raise ImageRefused(f"the compressed image (format {message.format!r}) is empty")
    encoding = _named_encoding(message.format)
    is_mosaic = encoding.startswith("bayer_")
    # Without IGNORE_ORIENTATION, OpenCV turns pictures by their EXIF tag, away from the camera's own pixels.
    channels = cv2.IMREAD_GRAYSCALE if is_mosaic else cv2.IMREAD_COLOR
    pixels = _decoded(data, channels | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION, message.format)
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise ImageRefused(
            f"{data.size} bytes of format {message.format!r} are no image that the model can see; publish JPEG or PNG"
        )
    if pixels.dtype == np.uint16:
        _check_16_bits(data, encoding, message.format)
    if is_mosaic:
        return raw.colours(pixels, encoding)
    return raw.colours(pixels, "bgr8" if pixels.dtype == np.uint8 else "bgr16")


def _named_encoding(image_format: str) -> str:
    """The encoding of what was compressed, or "" where only the file's format is named.

    Raises:
        ImageRefused: for an encoding that is refused raw.
    """
    first, separator, _ = image_format.partition(";")
    words = re.split(r"[;,\s]+", image_format)
    if any("depth" in word.lower() for word in words):
        raise ImageRefused(f"format {image_format!r} is a depth image; subscribe to the camera's colour image")
    for word in words:
        if _NUMBERS.fullmatch(word):
            raw.check(word)
    if separator and first.strip().lower() not in _FILE_FORMATS:
        raw.check(first.strip())
        return first.strip()
    return next((word for word in words if word in raw.ENCODINGS), "")


def _check_16_bits(data: np.ndarray, encoding: str, image_format: str) -> None:
    """Depth images come as gray in 16 bits: it takes a name to say that they are pictures, and one of 16 bits."""
    is_gray = _decoded(data, cv2.IMREAD_UNCHANGED, image_format).ndim == 2
    means_gray = encoding == "mono16" or encoding.startswith("bayer_")
    if (raw.channel_bytes(encoding) != 2) if encoding else is_gray:
        named = f"does not say {encoding}" if encoding else "has no name"
        raise ImageRefused(
            f"the image of format {image_format!r} holds 16 bits a channel, as depth does, and {named}; publish a colour "
            'image, or name it, as in "mono16; png compressed "'
        )
    if is_gray and encoding and not means_gray:
        raise ImageRefused(
            f"format {image_format!r} names colours, and the image is gray in 16 bits, as depth is; publish a colour image"
        )


def _decoded(data: np.ndarray, flags: int, image_format: str) -> np.ndarray | None:
    try:
        return cv2.imdecode(data, flags)
    except cv2.error as error:
        raise ImageRefused(f"OpenCV cannot decompress format {image_format!r}: {error.err}") from error
