"""Bags that tests write and read."""

from pathlib import Path

from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader

from trajforecast_ros.recording.bag_writer import BagWriter, Received, Topic
from trajforecast_ros.recording.message_definitions import message_definition


def received(topic: str, message, time: int = 1) -> Received:
    """A message as record_node gets it, at a time in nanoseconds."""
    kind = type(message)
    type_name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
    about = Topic(topic, type_name, message_definition(type_name), "", (QoSProfile(depth=1),))
    return Received(about, time, time, bytes(serialize_message(message)))


def write_bag(folder: Path, chunks: list[list[Received]]) -> Path:
    bag = BagWriter(folder)
    for chunk in chunks:
        bag.write(chunk)
    bag.close()
    return folder


def read_with_rosbags(path: Path) -> list[tuple[str, int, object]]:
    """Topic, time and message of everything in a bag, or in a file of one, decoded by the definitions in it."""
    with AnyReader([path]) as reader:
        return [
            (connection.topic, time, reader.deserialize(data, connection.msgtype))
            for connection, time, data in reader.messages()
        ]
