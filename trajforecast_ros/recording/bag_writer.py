"""A rosbag2 bag: a folder with an MCAP file and a metadata.yaml."""

import copy
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml
from rclpy.duration import Duration
from rclpy.qos import QoSProfile

from trajforecast_model.files.atomic import write_atomically
from trajforecast_ros.recording.mcap_file import Channel, McapFile, Message, Schema

METADATA_VERSION = 9  # of rosbag2 on Jazzy and later
LEFT_FREE = 1 << 20  # bytes that stay on the disk for the summary and the metadata
LIBRARY = "trajforecast record_node"


@dataclass(frozen=True)
class Topic:
    name: str
    type_name: str  # sensor_msgs/msg/Image
    definition: str  # of the type and all types in it
    type_hash: str  # RIHS01_...; may be empty
    qos: tuple[QoSProfile, ...] = field(compare=False)  # of its publishers, when it was first heard


class Received(NamedTuple):
    topic: Topic
    log_time: int  # nanoseconds, when it was received
    publish_time: int
    data: bytes  # serialized


class BagWriter:
    """The bag is readable at every moment, by whoever opens it and after the process was killed.

    Raises:
        ValueError: when the folder holds something already.
        OSError: when it cannot be made or written into.
    """

    def __init__(self, folder: Path):
        if folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f"{folder} holds something already; name a new folder to record into")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._mcap = McapFile(folder / f"{folder.resolve().name}_0.mcap", LIBRARY)
        self._topics: dict[Topic, int] = {}  # and their channels
        self._start = 2**63 - 1  # nanoseconds, of the first message
        self._write_metadata()

    @property
    def messages(self) -> int:
        return self._mcap.counts.messages

    def write(self, received: Sequence[Received]) -> None:
        """Raises OSError when that fails; none of these messages is in the bag then."""
        new = [topic for topic in dict.fromkeys(each.topic for each in received) if topic not in self._topics]
        for topic in new:
            schema = Schema(topic.type_name, topic.definition)
            self._topics[topic] = self._mcap.add_channel(Channel(topic.name, schema, _qos_text(topic.qos)))
        if not self._mcap.is_there():
            raise FileNotFoundError(errno.ENOENT, "the recording was removed or renamed", str(self._mcap.path))
        self._look_for_room(sum(len(each.data) for each in received))
        if new:  # before their messages: readers of a bag whose recorder was killed know only topics that it names
            self._start = min(self._start, *(each.log_time for each in received))
            self._write_metadata()
        self._mcap.write(
            [Message(self._topics[each.topic], each.log_time, each.publish_time, each.data) for each in received]
        )

    def close(self) -> None:
        """Ends the bag. Raises OSError when there is no room; the bag is readable all the same."""
        is_there = self._mcap.is_there()
        self._mcap.finish(yaml.safe_dump(self._information(), sort_keys=False))
        if is_there:  # or the folder would be made again
            self._write_metadata()

    def _look_for_room(self, needed: int) -> None:
        disk = os.statvfs(self.folder)
        if disk.f_bavail * disk.f_frsize < needed + LEFT_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._mcap.path))

    def _write_metadata(self) -> None:
        text = yaml.safe_dump({"rosbag2_bagfile_information": self._information()}, sort_keys=False)
        write_atomically(self.folder / "metadata.yaml", text.encode())

    def _information(self) -> dict:
        counts = self._mcap.counts
        start = min(self._start, counts.start)
        extent = {
            "starting_time": {"nanoseconds_since_epoch": start if self._topics else 0},
            "duration": {"nanoseconds": max(counts.end - start, 0)},
            "message_count": counts.messages,
        }
        return {
            "version": METADATA_VERSION,
            "storage_identifier": "mcap",
            **extent,
            "topics_with_message_count": [
                {
                    "topic_metadata": {
                        "name": topic.name,
                        "type": topic.type_name,
                        "serialization_format": "cdr",
                        "offered_qos_profiles": [_qos(profile) for profile in topic.qos],
                        "type_description_hash": topic.type_hash,
                    },
                    "message_count": counts.by_channel.get(channel, 0),
                }
                for topic, channel in self._topics.items()
            ],
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [self._mcap.path.name],
            "files": [{"path": self._mcap.path.name, **copy.deepcopy(extent)}],
            "custom_data": None,
            "ros_distro": os.environ.get("ROS_DISTRO", ""),
        }


def _qos_text(profiles: Sequence[QoSProfile]) -> str:
    return yaml.safe_dump([_qos(profile) for profile in profiles], sort_keys=False) if profiles else ""


def _qos(profile: QoSProfile) -> dict:
    return {
        "history": profile.history.short_key,
        "depth": profile.depth,
        "reliability": profile.reliability.short_key,
        "durability": profile.durability.short_key,
        "deadline": _duration(profile.deadline),
        "lifespan": _duration(profile.lifespan),
        "liveliness": profile.liveliness.short_key,
        "liveliness_lease_duration": _duration(profile.liveliness_lease_duration),
        "avoid_ros_namespace_conventions": profile.avoid_ros_namespace_conventions,
    }


def _duration(duration: Duration) -> dict[str, int]:
    seconds, nanoseconds = divmod(duration.nanoseconds, 1_000_000_000)
    return {"sec": seconds, "nsec": nanoseconds}
