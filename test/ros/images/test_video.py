"""H.264 and HEVC packets, as ffmpeg_image_transport makes them, become the pictures that were filmed."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from trajforecast_model.image_messages.video import VideoDecoder
from trajforecast_ros.images import ImageRefused, to_rgb

av = pytest.importorskip("av", reason="the video extra is not installed")

SIZE = (48, 64)
GROUP = 5  # pictures from a key frame to the next
CODECS = {"h264": "libx264", "hevc": "libx265"}


@dataclass
class Packet:
    """Stands in for ffmpeg_image_transport_msgs/FFMPEGPacket, of which there are no wheels."""

    header: Header
    encoding: str
    pts: int
    flags: int
    data: bytes
    width: int = SIZE[1]
    height: int = SIZE[0]
    is_bigendian: bool = field(default=False)


def picture(number: int) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    wave = 128 + 80 * np.sin((x + 3 * number) / 9)
    return np.stack([wave, 128 + 60 * np.cos(y / 7), np.full(SIZE, 30 + 10 * number)], axis=-1).astype(np.uint8)


def film(codec: str, count: int = 2 * GROUP, encoding: str = "", pixels: str = "yuv420p") -> list[Packet]:
    encoder = av.CodecContext.create(CODECS[codec], "w")
    encoder.height, encoder.width = SIZE
    encoder.pix_fmt, encoder.time_base, encoder.gop_size = pixels, Fraction(1, 30), GROUP
    encoder.options = {"tune": "zerolatency", "crf": "4", "x265-params": f"log-level=none:keyint={GROUP}"}
    packets = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24").reformat(format=pixels)
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [
        Packet(
            Header(stamp=Time(sec=packet.pts)), encoding or codec, packet.pts, int(packet.is_keyframe), bytes(packet)
        )
        for packet in packets
    ]


def stamps(images) -> list[int]:
    return [image.header.stamp.sec for image in images]


def decoded(packets, decoder=None) -> list:
    decoder = decoder or VideoDecoder()
    return [image for packet in packets for image in decoder.decode(packet)]


@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("h264", "h264"),
        ("h264", "libx264"),
        ("h264", "h264_nvenc"),
        ("h264", "h264;yuv420p;bgr8;rgb8"),
        ("hevc", "hevc"),
        ("hevc", "libx265"),
        ("hevc", "hevc;yuv420p;bgr8;bgr8"),
    ],
)
def test_every_picture_comes_with_its_own_header(codec, encoding):
    images = decoded(film(codec, encoding=encoding))

    assert stamps(images) == list(range(2 * GROUP))
    for number, image in enumerate(images):
        assert np.abs(to_rgb(image).astype(int) - picture(number)).mean() < 6


@pytest.mark.parametrize("codec", CODECS)
def test_who_comes_late_waits_for_a_key_frame(codec):
    assert stamps(decoded(film(codec)[2:])) == list(range(GROUP, 2 * GROUP))


@pytest.mark.parametrize("codec", CODECS)
def test_after_a_lost_packet_it_waits_for_a_key_frame(codec):
    packets = film(codec)
    del packets[3]

    assert stamps(decoded(packets)) == [0, 1, 2, *range(GROUP, 2 * GROUP)]


def test_data_that_is_no_video_is_refused_and_the_next_key_frame_taken():
    packets, decoder = film("h264"), VideoDecoder()
    assert stamps(decoded(packets[:2], decoder)) == [0, 1]
    packets[2].data = bytes(200)
    with pytest.raises(ImageRefused, match="h264"):
        decoder.decode(packets[2])

    assert stamps(decoded(packets[3:], decoder)) == list(range(GROUP, 2 * GROUP))


@pytest.mark.parametrize(
    "encoding", ["hevc;gray12le;16UC1;16UC1", "hevc;yuv420p;bgr8;32FC1", "hevc;yuv420p;;8UC3", "nonsense", ""]
)
def test_what_is_refused_raw_is_refused_as_video(encoding):
    [packet] = film("hevc", count=1)
    packet.encoding = encoding

    with pytest.raises(ImageRefused):
        VideoDecoder().decode(packet)


def test_gray_in_more_than_8_bits_is_depth():
    [image] = decoded(film("hevc", count=1, pixels="gray12le"))

    with pytest.raises(ImageRefused, match="12 bits, as depth is"):
        to_rgb(image)


def test_another_codec_on_the_same_topic_is_taken():
    decoder = VideoDecoder()

    assert stamps(decoded(film("h264", count=3), decoder) + decoded(film("hevc", count=3), decoder)) == [0, 1, 2] * 2
