"""An MCAP file that is whole at every moment.

Neither of the packaged writers is used (rosbags 0.11, mcap 1.6): both leave a file without its end when the process is
killed or the disk is full, which rosbags then refuses to read, and both copy every message four times before it is
written, with Python's lock held; two 1080p cameras are 370 MB a second. Here a chunk goes to the disk from where its
messages lie in memory, and the shortest end that the format allows stands behind it, where it is written first. Until the
chunk is whole, its place is a record of a kind that readers skip. Where a write fails, the file is cut back to the chunk
before. `finish` adds what lets a reader find messages without reading all of the file.

The format: https://mcap.dev/spec
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from struct import pack
from typing import NamedTuple

from trajforecast_model.bags.mcap_records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    HEADER,
    MAGIC,
    MESSAGE,
    MESSAGE_INDEX,
    MESSAGE_START,
    METADATA,
    METADATA_INDEX,
    RECORD_START,
    SCHEMA,
    SHORTEST_END,
    STATISTICS,
    SUMMARY_OFFSET,
    UNFINISHED,
    record,
)

MOST_PIECES = 1000  # of memory in one call to the kernel; Linux takes 1024


class Message(NamedTuple):
    channel: int
    log_time: int  # nanoseconds, when it was received
    publish_time: int
    data: bytes  # serialized


@dataclass(frozen=True)
class Schema:
    name: str  # sensor_msgs/msg/Image
    definition: str  # of the message and all messages in it, as rosbag2 joins them; may be empty


@dataclass(frozen=True)
class Channel:
    topic: str
    schema: Schema
    qos: str  # YAML, of the publishers


@dataclass
class Counts:
    """How many messages, and when the first and last came, nanoseconds."""

    by_channel: dict[int, int] = field(default_factory=dict)
    start: int = 2**63 - 1
    end: int = 0

    @property
    def messages(self) -> int:
        return sum(self.by_channel.values())


class McapFile:
    """Raises OSError when the file is there already or cannot be made."""

    def __init__(self, path: Path, library: str):
        self.path = path
        self.counts = Counts()
        self._channels: list[Channel] = []
        self._schemas: list[Schema] = []
        self._new: list[bytes] = []  # records of schemas and channels that no chunk has yet
        self._chunk_indices: list[bytes] = []
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._end = 0  # of the last whole chunk
        try:
            header = MAGIC + record(HEADER, _text("ros2") + _text(library))
            self._write_at(0, [header, SHORTEST_END])
            self._end = len(header)
        except OSError:
            os.close(self._file)
            path.unlink()
            raise

    def add_channel(self, channel: Channel) -> int:
        """Its number, for Message.channel; the same channel has one number."""
        if channel in self._channels:
            return self._channels.index(channel) + 1
        if channel.schema not in self._schemas:
            self._schemas.append(channel.schema)
            self._new.append(self._schema_record(channel.schema))
        self._channels.append(channel)
        self._new.append(self._channel_record(channel))
        return len(self._channels)

    def write(self, messages: Sequence[Message]) -> None:
        """One chunk, all of it or nothing.

        Raises:
            OSError: when the disk is full, say; the file is then whole without these messages.
        """
        pieces: list[bytes] = list(self._new)
        size = sum(map(len, pieces))
        places: dict[int, list[tuple[int, int]]] = {}  # by channel: when, and where in the chunk
        for message in messages:
            places.setdefault(message.channel, []).append((message.log_time, size))
            length = MESSAGE_START + len(message.data)
            start = pack("<BQHIQQ", MESSAGE, length, message.channel, 0, message.log_time, message.publish_time)
            pieces += [start, message.data]
            size += RECORD_START + length
        times = [message.log_time for message in messages]
        start_time, end_time = min(times), max(times)
        before = pack("<QQQI", start_time, end_time, size, 0) + _text("") + pack("<Q", size)
        chunk_length = RECORD_START + len(before) + size
        indices, index_offsets, index_length = [], b"", 0
        for channel, entries in places.items():
            index_offsets += pack("<HQ", channel, self._end + chunk_length + index_length)
            packed = b"".join(pack("<QQ", *entry) for entry in entries)
            indices.append(record(MESSAGE_INDEX, pack("<HI", channel, len(packed)) + packed))
            index_length += len(indices[-1])
        chunk_index = record(
            CHUNK_INDEX,
            pack("<QQQQI", start_time, end_time, self._end, chunk_length, len(index_offsets))
            + index_offsets
            + pack("<Q", index_length)
            + _text("")
            + pack("<QQ", size, size),
        )
        self._append(pack("<BQ", CHUNK, len(before) + size), [before, *pieces, *indices])
        self._new.clear()
        self._chunk_indices.append(chunk_index)
        for channel, entries in places.items():
            self.counts.by_channel[channel] = self.counts.by_channel.get(channel, 0) + len(entries)
        self.counts.start, self.counts.end = min(self.counts.start, start_time), max(self.counts.end, end_time)

    def is_there(self) -> bool:
        """Whether the file still has its name: on Linux one can write on into a file that was removed."""
        try:
            named = os.stat(self.path)
        except OSError:
            return False
        opened = os.fstat(self._file)
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def finish(self, metadata: str) -> None:
        """Adds the summary and rosbag2's metadata, and closes the file.

        Raises:
            OSError: when there is no room for it; the file is then whole without, and closed.
        """
        try:
            self._write_at(self._end, self._summary(metadata))
        except OSError:
            self._take_back()
            raise
        finally:
            self.close()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, beginning: bytes, rest: list[bytes]) -> None:
        """Writes a record of which the first bytes are `beginning`, and what belongs to it."""
        size = len(beginning) + sum(map(len, rest))
        try:
            self._write_at(self._end, [pack("<BQ", UNFINISHED, size - RECORD_START)])
            self._write_at(self._end + size, [SHORTEST_END])
            self._write_at(self._end + len(beginning), rest)
            self._write_at(self._end, [beginning])
        except OSError:
            self._take_back()
            raise
        self._end += size

    def _take_back(self) -> None:
        """Cuts off what was written since the last chunk.

        Its end first, in bytes that the file has already: where not even they can be written, nothing was written over them.
        """
        self._write_at(self._end, [SHORTEST_END])
        os.ftruncate(self._file, self._end + len(SHORTEST_END))

    def _write_at(self, offset: int, pieces: list[bytes]) -> None:
        pieces = list(filter(None, pieces))
        while pieces:
            written = os.pwritev(self._file, pieces[:MOST_PIECES], offset)
            offset += written
            while pieces and written >= len(pieces[0]):
                written -= len(pieces.pop(0))
            if written:
                pieces[0] = memoryview(pieces[0])[written:]

    def _summary(self, metadata: str) -> list[bytes]:
        metadata_record = record(METADATA, _text("rosbag2") + _map({"serialized_metadata": metadata}))
        before = metadata_record + record(DATA_END, bytes(4))
        counts = self.counts
        by_channel = b"".join(pack("<HQ", *count) for count in sorted(counts.by_channel.items()))
        statistics = (
            pack("<QHIIII", counts.messages, len(self._schemas), len(self._channels), 0, 1, len(self._chunk_indices))
            + pack("<QQ", counts.start if counts.messages else 0, counts.end)
            + pack("<I", len(by_channel))
            + by_channel
        )
        groups = {
            SCHEMA: [self._schema_record(schema) for schema in self._schemas],
            CHANNEL: [self._channel_record(channel) for channel in self._channels],
            STATISTICS: [record(STATISTICS, statistics)],
            CHUNK_INDEX: self._chunk_indices,
            METADATA_INDEX: [record(METADATA_INDEX, pack("<QQ", self._end, len(metadata_record)) + _text("rosbag2"))],
        }
        start = at = self._end + len(before)
        pieces, offsets = [before], []
        for kind, records in groups.items():
            together = b"".join(records)
            if together:
                offsets.append(record(SUMMARY_OFFSET, pack("<BQQ", kind, at, len(together))))
            pieces.append(together)
            at += len(together)
        return [*pieces, *offsets, record(FOOTER, pack("<QQI", start, at, 0)), MAGIC]

    def _schema_record(self, schema: Schema) -> bytes:
        number = self._schemas.index(schema) + 1
        encoding = _text("ros2msg" if schema.definition else "")
        return record(SCHEMA, pack("<H", number) + _text(schema.name) + encoding + _text(schema.definition))

    def _channel_record(self, channel: Channel) -> bytes:
        number, schema = self._channels.index(channel) + 1, self._schemas.index(channel.schema) + 1
        qos = _map({"offered_qos_profiles": channel.qos})
        return record(CHANNEL, pack("<HH", number, schema) + _text(channel.topic) + _text("cdr") + qos)


def _text(text: str) -> bytes:
    data = text.encode()
    return pack("<I", len(data)) + data


def _map(entries: dict[str, str]) -> bytes:
    packed = b"".join(_text(key) + _text(value) for key, value in entries.items())
    return pack("<I", len(packed)) + packed
