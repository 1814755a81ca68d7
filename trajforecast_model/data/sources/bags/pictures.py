"""Pictures in the messages of a bag, decoded by what also decodes live ones."""

from collections.abc import Callable, Iterator
from functools import cache
from struct import unpack_from
from typing import NamedTuple

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from trajforecast_model.bags.bag import BROKEN, BagMessage
from trajforecast_model.image_messages import compressed, raw
from trajforecast_model.image_messages.video import VideoDecoder

IMAGE, COMPRESSED, VIDEO = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket",
)
PICTURE_TYPES = (IMAGE, COMPRESSED, VIDEO)
# Older bags hold no definitions, so the fields of a packet are told here.
_VIDEO_FIELDS = """std_msgs/Header header
int32 width
int32 height
string encoding
uint64 pts
uint8 flags
bool is_bigendian
uint8[] data
"""


class Picture(NamedTuple):
    """stamp: nanoseconds of when it was taken; of when it was recorded where the camera does not say. rgb: decodes it to
    uint8 [height, width, 3], or raises ValueError."""

    stamp: int
    time: int
    rgb: Callable[[], np.ndarray]


class PictureStream:
    """The messages of one topic to pictures, one after the other."""

    def __init__(self):
        self._video: VideoDecoder | None = None

    def pictures(self, message: BagMessage) -> Iterator[Picture]:
        """Raises ValueError where the message is damaged."""
        if message.type_name != VIDEO:
            yield Picture(_stamp(message), message.time, lambda: _decoded(message))
            return
        if self._video is None:
            self._video = VideoDecoder()
        for image in self._video.decode(read(message)):
            stamp = image.header.stamp
            yield Picture(stamp.sec * 1_000_000_000 + stamp.nanosec or message.time, message.time, image.rgb)


def read(message: BagMessage):
    """The message of one of PICTURE_TYPES or of std_msgs. Raises ValueError where it is damaged."""
    try:
        return _types().deserialize_cdr(message.data, message.type_name)
    except BROKEN as error:
        raise ValueError(f"a message of {message.topic} is damaged: {error}") from error


def _decoded(message: BagMessage) -> np.ndarray:
    decode = raw.to_rgb if message.type_name == IMAGE else compressed.to_rgb
    return decode(read(message))


def _stamp(message: BagMessage) -> int:
    """Of a message that begins with a header: 4 bytes say how it is serialized, the second their order."""
    if len(message.data) < 12:
        raise ValueError(f"a message of {message.topic} is damaged: it has {len(message.data)} bytes")
    seconds, nanoseconds = unpack_from("<iI" if message.data[1] & 1 else ">iI", message.data, 4)
    return seconds * 1_000_000_000 + nanoseconds or message.time


@cache
def _types():
    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg(_VIDEO_FIELDS, VIDEO))
    return types
