"""The bag that record_node writes, read by rosbags, and bags of others read by us."""

import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
import yaml
from bags import read_with_rosbags, received, write_bag
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image
from std_msgs.msg import String
from trajforecast_msgs.msg import PredictedTracks

from trajforecast_model.bags.bag import Bag
from trajforecast_model.bags.mcap_records import whole_records
from trajforecast_ros.images import to_message
from trajforecast_ros.recording.bag_writer import BagWriter

WORD = "/forecast_node/instruction"


def words(*texts: str, start: int = 10) -> list:
    return [received(WORD, String(data=text), start + index) for index, text in enumerate(texts)]


def read(path) -> list[str]:
    with Bag(path) as bag:
        return [deserialize_message(message.data, String).data for message in bag.messages([WORD])]


def test_rosbags_reads_it_while_it_is_written_and_afterwards(tmp_path):
    bag = BagWriter(tmp_path / "bag")
    tracks = PredictedTracks(instruction="go", tracks=np.arange(6, dtype=np.float32).tolist(), seed=-1)
    bag.write([*words("a"), received("/predicted_tracks", tracks, 11)])
    bag.write(words("b", start=12))

    def check():
        for path in (tmp_path / "bag", tmp_path / "bag" / "bag_0.mcap"):
            first, second, third = read_with_rosbags(path)
            assert (first[0], first[1], first[2].data) == (WORD, 10, "a")
            assert (second[0], second[2].instruction, second[2].tracks.tolist()) == (
                "/predicted_tracks",
                "go",
                [0, 1, 2, 3, 4, 5],
            )
            assert (third[1], third[2].data) == (12, "b")

    check()
    bag.close()
    check()
    assert sorted(path.name for path in (tmp_path / "bag").iterdir()) == ["bag_0.mcap", "metadata.yaml"]


def test_the_metadata_tell_what_is_in_it(tmp_path):
    write_bag(tmp_path / "bag", [words("a", "b"), [received("/x", String(data="c"), 30)]])
    told = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]

    assert told["relative_file_paths"] == ["bag_0.mcap"]
    assert (told["message_count"], told["starting_time"], told["duration"]) == (
        3,
        {"nanoseconds_since_epoch": 10},
        {"nanoseconds": 20},
    )
    topics = {each["topic_metadata"]["name"]: each for each in told["topics_with_message_count"]}
    assert topics[WORD]["message_count"] == 2
    [qos] = topics[WORD]["topic_metadata"]["offered_qos_profiles"]
    assert (qos["reliability"], qos["durability"], qos["depth"]) == ("reliable", "volatile", 1)


def test_a_topic_is_named_before_its_first_message_is_there(tmp_path, monkeypatch):
    """A recorder that is killed then has not hidden it from readers that go by the metadata."""
    bag = BagWriter(tmp_path / "bag")
    bag.write(words("a"))
    monkeypatch.setattr(bag._mcap, "write", lambda messages: None)
    bag.write([received("/late", String(data="b"), 5)])
    told = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]

    assert [each["topic_metadata"]["name"] for each in told["topics_with_message_count"]] == [WORD, "/late"]
    assert told["starting_time"] == {"nanoseconds_since_epoch": 5}
    assert [message.data for _, _, message in read_with_rosbags(tmp_path / "bag")] == ["a"]


def test_definitions_in_it_keep_their_comments(tmp_path):
    write_bag(tmp_path / "bag", [[received("/predicted_tracks", PredictedTracks())]])

    assert b"[V, k, T, H, W, 2]" in (tmp_path / "bag" / "bag_0.mcap").read_bytes()


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="holds something already"):
        BagWriter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_of_a_file_that_is_cut_off_the_whole_chunks_are_read(tmp_path):
    write_bag(tmp_path / "bag", [words("a", "b"), words("c"), words("d")])
    file = tmp_path / "bag" / "bag_0.mcap"
    data = file.read_bytes()
    with file.open("rb") as opened:
        chunks = [each for each in whole_records(opened, 8, len(data)) if each.kind == 6]
    ends = [each.start + each.length for each in chunks]
    for cut, expected in [
        (ends[0], ["a", "b"]),
        (ends[1] - 1, ["a", "b"]),
        (ends[1], ["a", "b", "c"]),
        (len(data) - 1, ["a", "b", "c", "d"]),
        (ends[0] - 1, []),
    ]:
        file.write_bytes(data[:cut])
        assert read(tmp_path / "bag") == read(file) == expected
        with Bag(file) as bag:
            assert bag.cut_off == ["bag_0.mcap"]


@contextmanager
def files_of_at_most(size: int):
    """As a disk that is full: a write beyond it fails, after as much as fits."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_leaves_what_was_there_whole(tmp_path):
    bag = BagWriter(tmp_path / "bag")
    bag.write(words("a"))
    picture = received("/image", to_message(np.zeros((100, 100, 3), np.uint8), Image().header), 11)
    size = (tmp_path / "bag" / "bag_0.mcap").stat().st_size
    with files_of_at_most(size + 1000), pytest.raises(OSError, match="too large"):
        bag.write([picture])
    assert [message.data for _, _, message in read_with_rosbags(tmp_path / "bag" / "bag_0.mcap")] == ["a"]
    bag.write(words("b", start=12))
    size = (tmp_path / "bag" / "bag_0.mcap").stat().st_size
    with files_of_at_most(size + 100), pytest.raises(OSError, match="too large"):
        bag.close()
    assert [message.data for _, _, message in read_with_rosbags(tmp_path / "bag")] == ["a", "b"]
    assert not list((tmp_path / "bag").glob("*.tmp"))


def test_nothing_is_lost_where_not_one_byte_can_be_written_any_more(tmp_path):
    """As where a limit is set below what is there already: not even the end can be written again."""
    bag = BagWriter(tmp_path / "bag")
    bag.write(words("a"))
    file = tmp_path / "bag" / "bag_0.mcap"
    picture = received("/image", to_message(np.zeros((100, 100, 3), np.uint8), Image().header), 11)
    with files_of_at_most(file.stat().st_size // 2):
        with pytest.raises(OSError, match="too large"):
            bag.write([picture])
        assert [message.data for _, _, message in read_with_rosbags(file)] == ["a"]
        with pytest.raises(OSError, match="too large"):
            bag.close()
    assert [message.data for _, _, message in read_with_rosbags(file)] == ["a"]


class Killed(BaseException):
    """What ends a process between two calls to the kernel, or within one."""


@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_process_that_is_killed_while_it_writes_leaves_a_bag_that_rosbags_reads(tmp_path, monkeypatch, call, share):
    bag = BagWriter(tmp_path / "bag")
    bag.write(words("a"))
    really_write, calls = os.pwritev, []

    def write_and_die(file, pieces, offset):
        calls.append(offset)
        if len(calls) <= call:
            return really_write(file, pieces, offset)
        data = b"".join(pieces)
        if len(data) > 64:
            written = round(share * len(data))
        else:  # the kernel writes a few bytes whole, or not at all
            written = len(data) if share == 1 else 0
        really_write(file, [data[:written]], offset)
        raise Killed

    monkeypatch.setattr(os, "pwritev", write_and_die)
    with pytest.raises(Killed):
        bag.write([received("/image", to_message(np.ones((100, 100, 3), np.uint8), Image().header), 11)])

    expected = [WORD, "/image"] if (call, share) == (3, 1) else [WORD]
    for path in (tmp_path / "bag", tmp_path / "bag" / "bag_0.mcap"):
        assert [topic for topic, _, _ in read_with_rosbags(path)] == expected
    assert read(tmp_path / "bag") == ["a"]


@pytest.mark.parametrize("storage", list(StoragePlugin))
@pytest.mark.parametrize("compression", [None, CompressionMode.MESSAGE, CompressionMode.FILE])
def test_bags_of_others_are_read(tmp_path, storage, compression):
    store = get_typestore(Stores.ROS2_JAZZY)
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=storage)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(WORD, "std_msgs/msg/String", typestore=store)
        for index, text in enumerate("abc"):
            message = store.types["std_msgs/msg/String"](text)
            writer.write(connection, index, store.serialize_cdr(message, "std_msgs/msg/String"))

    assert read(tmp_path / "bag") == ["a", "b", "c"]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: (path / "x_0.mcap").write_bytes(b"no bag")])
def test_what_is_no_bag_is_said(tmp_path, make):
    (tmp_path / "metadata.yaml").write_text("[]")
    make(tmp_path)
    with pytest.raises(ValueError, match="no bag that can be read"):
        Bag(tmp_path)
