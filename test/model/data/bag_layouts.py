"""Bags as recorders leave them, written by rosbags: pictures whose grey counts them, at whatever times."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
IMAGE, COMPRESSED, STRING, BOOL = (
    "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "std_msgs/msg/String", "std_msgs/msg/Bool",
)  # fmt: skip
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
HEIGHT, WIDTH = 48, 64
LATCHED = Qos(
    QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, QosTime(0, 0), QosTime(0, 0),
    QosLiveliness.AUTOMATIC, QosTime(0, 0), False,
)  # fmt: skip

Entry = tuple[str, str, int, object]  # topic, type, when it was recorded (nanoseconds since START), message


def grey_picture(grey: int) -> np.ndarray:
    """uint8 RGB with a texture that a tracker can follow; its first pixel's red is `grey`."""
    picture = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[: HEIGHT // 2, : WIDTH // 2] = grey
    return picture


def header(stamp: int):
    """stamp: nanoseconds since START; None for a camera that gives none."""
    at = 0 if stamp is None else START + stamp
    time = STORE.types["builtin_interfaces/msg/Time"](*divmod(at, SECOND))
    return STORE.types["std_msgs/msg/Header"](time, "camera")


def image(stamp: int | None, rgb: np.ndarray, encoding: str = "rgb8"):
    pixels = {
        "rgb8": lambda: rgb,
        "bgr8": lambda: rgb[..., ::-1],
        "mono8": lambda: rgb[..., 0],
        "mono16": lambda: rgb[..., 0].astype(np.uint16) * 257,
        "bayer_rggb8": lambda: rgb[..., 1],
        "yuv422_yuy2": lambda: np.stack([rgb[..., 0], np.full(rgb.shape[:2], 128, np.uint8)], -1),
        "16UC1": lambda: rgb[..., 0].astype(np.uint16),
    }[encoding]()
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    height, width = rgb.shape[:2]
    return STORE.types[IMAGE](header(stamp), height, width, encoding, 0, len(data) // height, data)


def compressed(stamp: int | None, rgb: np.ndarray, image_format: str = "bgr8; jpeg compressed bgr8"):
    end = ".png" if "png" in image_format else ".jpg"
    data = cv2.imencode(end, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].reshape(-1)
    return STORE.types[COMPRESSED](header(stamp), image_format, data)


def camera(
    topic: str, stamps: Iterable[float], delay: float = 0.004, encoding: str = "rgb8", first: int = 0
) -> list[Entry]:
    """Pictures taken at `stamps` (seconds since START) and recorded `delay` later; the n-th has the grey first + n."""
    entries = []
    for number, stamp in enumerate(stamps):
        at = round(stamp * SECOND)
        rgb = grey_picture(first + number)
        if "compressed" in topic:
            kind, message = COMPRESSED, compressed(at, rgb, encoding if " " in encoding else "png")
        else:
            kind, message = IMAGE, image(at, rgb, encoding)
        entries.append((topic, kind, at + round(delay * SECOND), message))
    return entries


def said(topic: str, time: float, words: str) -> Entry:
    return topic, STRING, round(time * SECOND), STORE.types[STRING](words)


def switched(topic: str, time: float, on: bool) -> Entry:
    return topic, BOOL, round(time * SECOND), STORE.types[BOOL](on)


def write_bag(
    folder: Path, entries: list[Entry], storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode | None = None, latched: tuple[str, ...] = (), custom: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """The entries in the order in which they are given."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer(folder, version=9, storage_plugin=storage)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    for key, value in (custom or {}).items():
        writer.set_custom_data(key, value)
    with writer:
        connections = {}
        for topic, kind, time, message in entries:
            if topic not in connections:
                profiles = [LATCHED] if topic in latched else []
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE, offered_qos_profiles=profiles)
            writer.write(connections[topic], START + time, STORE.serialize_cdr(message, kind))
    return folder


def by_time(*cameras: list[Entry]) -> list[Entry]:
    return sorted((entry for each in cameras for entry in each), key=lambda entry: entry[2])


def every(seconds: float, count: int, start: float = 0.0) -> np.ndarray:
    return start + seconds * np.arange(count)
