"""Any rosbag2 bag: MCAP or sqlite3, compressed or split, a folder or one of its files, whole or cut off."""

import io
import os
import sqlite3
import struct
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

import yaml
from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.reader import zstd  # the standard library's, or its backport
from rosbags.rosbag2.storage_mcap import McapReader

from trajforecast_model.bags.mcap_records import DATA_END, FOOTER, MAGIC, SHORTEST_END, whole_records
from trajforecast_model.bags.places import COMPRESSED, ENDS, METADATA_FILE
from trajforecast_model.bags.sqlite_file import EVER, SqliteFile, is_latched

# rosbags tells most of what is wrong with a file by the first of these, and stumbles over the rest.
BROKEN = (
    ReaderError, OSError, AssertionError, ValueError, TypeError, LookupError, struct.error, EOFError, RuntimeError,
    zstd.ZstdError, sqlite3.Error,
)  # fmt: skip
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no serialized message begins so
_COPIED = 1 << 20  # bytes at a time


@dataclass(frozen=True)
class BagTopic:
    name: str
    type_name: str  # sensor_msgs/msg/Image
    latched: bool  # whether who comes late is to get the last message


class BagMessage(NamedTuple):
    topic: str
    type_name: str
    time: int  # nanoseconds, when it was recorded
    data: bytes  # serialized


class Bag:
    """Raises ValueError when there is no bag, or nothing in it that can be read.

    topics: by name. A name that carries several types is there once, with the first.
    instruction: what the robot is told, where the recorder was told to note it (--custom-data instruction=...); else empty.
    cut_off: names of files that end within a message; what is whole before is read.
    unfinished: names of files that lack their index: they are being written, or their recorder was killed.
    missing: names of files that the metadata tell of, and that are not there.
    """

    def __init__(self, path: Path):
        self.path = path
        self.instruction = ""
        self.cut_off: list[str] = []
        self.unfinished: list[str] = []
        self.missing: list[str] = []
        self._open = ExitStack()
        try:
            self._files = [self._open_file(file) for file in self._file_paths()]
        except BROKEN as error:
            self.close()
            raise ValueError(f"{path} is no bag that can be read: {error}") from error
        self.topics: dict[str, BagTopic] = {}
        for file in self._files:
            for topic in file.topics:
                self.topics.setdefault(topic.name, topic)

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """What was recorded of some topics, in the order of time; of a file without index in the order of writing.

        Raises:
            ValueError: when the bag cannot be read to its end.
        """
        return self._read(topics, lambda file: file.in_time(topics))

    def as_written(self, topics: Collection[str], start: int = EVER[0], stop: int = EVER[1]) -> Iterator[BagMessage]:
        """What was recorded of some topics from `start` until before `stop` (nanoseconds), in the order of writing: a
        clock that jumped back shows in it.

        Raises:
            ValueError: when the bag cannot be read to its end.
        """
        return self._read(topics, lambda file: file.as_written(topics, start, stop))

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> "Bag":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _read(self, topics: Collection[str], read) -> Iterator[BagMessage]:
        try:
            for file in self._files:
                for message in read(file):
                    if message.data[:4] == _ZSTD_MAGIC:
                        message = message._replace(data=zstd.decompress(message.data))
                    yield message
        except BROKEN as error:
            raise ValueError(f"{self.path} cannot be read to its end: {error}") from error

    def _file_paths(self) -> list[Path]:
        """As the metadata tell them, or where those cannot be read, as the parts of a bag are numbered: the tenth comes
        after the ninth."""
        if not self.path.is_dir():
            return [self.path]
        there = sorted(
            (file for file in self.path.iterdir() if file.name.endswith(ENDS)), key=lambda file: (len(file.name), file)
        )
        if not there:
            lacks = "no" if (self.path / METADATA_FILE).exists() else f"neither a {METADATA_FILE} nor a"
            raise ReaderError(f"it has {lacks} .mcap or .db3 file")
        metadata = read_metadata(self.path / METADATA_FILE)
        custom = metadata.get("custom_data")
        noted = custom.get("instruction") if isinstance(custom, dict) else None
        self.instruction = "" if noted is None else " ".join(str(noted).split())
        named = [PurePath(str(name)).name for name in metadata.get("relative_file_paths") or ()]
        self.missing = [name for name in named if not (self.path / name).exists()]
        found = [self.path / name for name in named if name not in self.missing]
        return found if found and not self.missing else there

    def _open_file(self, file: Path) -> "_File":
        name = file.name
        if name.endswith(COMPRESSED):
            file = self._decompressed(file)
        if file.suffix == ".db3":
            opened = SqliteFile(file)
            self._open.callback(opened.close)
            if opened.cut_off and name not in self.cut_off:
                self.cut_off.append(name)
            return _SqliteFile(opened)
        if file.suffix != ".mcap":
            raise ReaderError(f"it ends in none of {', '.join(ENDS)}")
        try:
            reader = self._opened_mcap(file)
        except BROKEN:
            whole = WholePart(file)
            if not whole.end:
                raise
            reader = self._opened_mcap(whole)
            if name not in self.cut_off:
                self.cut_off.append(name)
        if not reader.chunks and name not in self.cut_off:
            self.unfinished.append(name)
        return _McapFile(reader)

    def _opened_mcap(self, path) -> McapReader:
        reader = McapReader(path)
        reader.open()
        self._open.callback(reader.close)
        return reader

    def _decompressed(self, file: Path) -> Path:
        """A copy in a temporary folder, as far as the file is whole."""
        folder = self._open.enter_context(TemporaryDirectory())
        copy = Path(folder, file.name.removesuffix(COMPRESSED))
        frame = zstd.ZstdDecompressor()
        with file.open("rb") as packed, copy.open("wb") as unpacked:
            try:
                while data := packed.read(_COPIED):
                    while data:
                        frame = zstd.ZstdDecompressor() if frame.eof else frame
                        unpacked.write(frame.decompress(data))
                        data = frame.unused_data
            except zstd.ZstdError:
                self.cut_off.append(file.name)
        if not frame.eof and file.name not in self.cut_off:
            self.cut_off.append(file.name)
        return copy


def read_metadata(file: Path) -> dict:
    """What a bag's metadata.yaml says; nothing where it is none, as while the bag is recorded."""
    with suppress(OSError, ValueError, yaml.YAMLError):
        told = yaml.safe_load(file.read_text())
        if isinstance(told, dict) and isinstance(told.get("rosbag2_bagfile_information"), dict):
            return told["rosbag2_bagfile_information"]
    return {}


class _File(Protocol):
    topics: list[BagTopic]

    def in_time(self, topics: Collection[str]) -> Iterator[BagMessage]: ...

    def as_written(self, topics: Collection[str], start: int, stop: int) -> Iterator[BagMessage]: ...


class _McapFile:
    def __init__(self, reader: McapReader):
        self._reader = reader
        self.topics = [
            BagTopic(each.topic, _full(each.msgtype), is_latched(each.ext.offered_qos_profiles))
            for each in reader.connections
            if each.ext.serialization_format in ("cdr", "")
        ]

    def in_time(self, topics: Collection[str]) -> Iterator[BagMessage]:
        # rosbags itself would refuse messages without index that are not in the order of time.
        read = self._reader.messages if self._reader.chunks else self._reader.messages_scan
        return self._named(read(wanted) if (wanted := self._wanted(topics)) else ())

    def as_written(self, topics: Collection[str], start: int, stop: int) -> Iterator[BagMessage]:
        wanted = self._wanted(topics)
        return self._named(self._reader.messages_scan(wanted, max(start, 0), stop) if wanted else ())

    def _wanted(self, topics: Collection[str]) -> list:
        return [each for each in self._reader.connections if each.topic in topics]

    def _named(self, messages) -> Iterator[BagMessage]:
        for connection, time, data in messages:
            yield BagMessage(connection.topic, _full(connection.msgtype), time, bytes(data))


class _SqliteFile:
    def __init__(self, file: SqliteFile):
        self._file = file
        self.topics = [BagTopic(name, _full(kind), latched) for name, kind, latched in file.topics.values()]

    def in_time(self, topics: Collection[str]) -> Iterator[BagMessage]:
        return self._named(self._file.in_time(wanted) if (wanted := self._wanted(topics)) else ())

    def as_written(self, topics: Collection[str], start: int, stop: int) -> Iterator[BagMessage]:
        return self._named(self._file.as_written(wanted, start, stop) if (wanted := self._wanted(topics)) else ())

    def _wanted(self, topics: Collection[str]) -> list[int]:
        return [number for number, (name, _, _) in self._file.topics.items() if name in topics]

    def _named(self, messages) -> Iterator[BagMessage]:
        for number, time, data in messages:
            name, kind, _ = self._file.topics[number]
            yield BagMessage(name, _full(kind), time, data)


def _full(type_name: str) -> str:
    """sensor_msgs/msg/Image, also where it is called sensor_msgs/Image."""
    return type_name if type_name.count("/") != 1 else type_name.replace("/", "/msg/")


class WholePart:
    """What is whole of an MCAP file, as a path to a file that ends there."""

    def __init__(self, path: Path):
        self.path = path
        self.suffix = path.suffix
        self.end = 0  # of the last whole record; 0 where there is none
        with path.open("rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                for record in whole_records(file, len(MAGIC), os.fstat(file.fileno()).st_size):
                    if record.kind in (DATA_END, FOOTER):
                        break
                    self.end = record.start + record.length

    def exists(self) -> bool:
        return True

    def is_dir(self) -> bool:
        return False

    def open(self, mode: str = "rb") -> io.BufferedReader:
        return io.BufferedReader(_Ended(self.path, self.end, SHORTEST_END))

    def __str__(self) -> str:
        return str(self.path)


class _Ended(io.RawIOBase):
    """The first bytes of a file, and an end behind them."""

    def __init__(self, path: Path, length: int, end: bytes):
        self._file = path.open("rb")
        self._length, self._ending = length, end
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = self._length + len(self._ending)
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: size}[whence])
        return self._at

    def readinto(self, buffer) -> int:
        if self._at < self._length:
            self._file.seek(self._at)
            data = self._file.read(min(len(buffer), self._length - self._at))
        else:
            data = self._ending[self._at - self._length :][: len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
