"""One way in for every kind of image message, and one way out."""

import sys
from array import array

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from trajforecast_model.image_messages import compressed, raw
from trajforecast_model.image_messages.video import VideoImage


def to_rgb(message: Image | CompressedImage | VideoImage) -> np.ndarray:
    """The picture in a message, uint8 [height, width, 3]: of rgb8 the message's own memory, to be read only.

    16-bit encodings are scaled from 0..65535 to 0..255 and rounded, as cv_bridge does.

    Raises:
        ImageRefused: for an encoding that is not in ENCODINGS, however it is wrapped, an empty image, data that is too
            short for the announced size, a size that the encoding cannot have, or compressed data that is no image.
    """
    if isinstance(message, VideoImage):
        return message.rgb()
    return compressed.to_rgb(message) if isinstance(message, CompressedImage) else raw.to_rgb(message)


def to_message(rgb: np.ndarray, header: Header) -> Image:
    """An rgb8 message of uint8 [height, width, 3]."""
    height, width, _ = rgb.shape
    message = Image(header=header, height=height, width=width, encoding="rgb8", step=3 * width)
    message.is_bigendian = int(sys.byteorder == "big")
    # array('B', bytes) is the one assignment that rclpy takes over without looking at each byte.
    message.data = array("B", np.ascontiguousarray(rgb, dtype=np.uint8).tobytes())
    return message


def depth_message(metres: np.ndarray, header: Header) -> Image:
    """A 32FC1 message of float32 [height, width]."""
    height, width = metres.shape
    message = Image(header=header, height=height, width=width, encoding="32FC1", step=4 * width)
    message.is_bigendian = int(sys.byteorder == "big")
    message.data = array("B", np.ascontiguousarray(metres, dtype=np.float32).tobytes())
    return message
