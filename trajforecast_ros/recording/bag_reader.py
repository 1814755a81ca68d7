"""Any rosbag2 bag: MCAP or sqlite3, compressed or split, a folder or one of its files, whole or cut off."""

import io
import os
import struct
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rosbags.interfaces import Connection, QosDurability
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.rosbag2.storage_mcap import McapReader

from trajforecast_ros.recording.mcap_file import DATA_END, FOOTER, MAGIC, SHORTEST_END, whole_records

FILES = ("*.mcap", "*.db3")
# rosbags tells most of what is wrong with a file by the first of these, and stumbles over the rest.
BROKEN = (ReaderError, OSError, AssertionError, ValueError, TypeError, LookupError, struct.error)


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
    cut_off: names of files that end within a message; what is whole before is read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.cut_off: list[str] = []
        self._open = ExitStack()
        try:
            self._readers = self._open_readers()
            self.topics = {
                each.topic: BagTopic(each.topic, each.msgtype, _is_latched(each))
                for reader in reversed(self._readers)
                for each in reversed(reader.connections)
            }
        except BROKEN as error:
            self.close()
            raise ValueError(f"{path} is no bag that can be read: {error}") from error

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """What was recorded of some topics, in the order of time; of a file without index in the order of writing.

        Raises:
            ValueError: when the bag cannot be read to its end.
        """
        try:
            for reader in self._readers:
                wanted = [each for each in reader.connections if each.topic in topics]
                # rosbags itself would refuse messages without index that are not in the order of time.
                read = reader.storage.messages_scan if _lacks_index(reader.storage) else reader.messages
                for connection, time, data in read(wanted) if wanted else ():
                    yield BagMessage(connection.topic, connection.msgtype, time, bytes(data))
        except BROKEN as error:
            raise ValueError(f"{self.path} cannot be read to its end: {error}") from error

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> "Bag":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _open_readers(self) -> list[Reader]:
        """One of the folder as its metadata tells it, or where that cannot be, one a file."""
        if not self.path.is_dir():
            return [self._open_file(self.path)]
        told: Exception = ReaderError("it has neither a metadata.yaml nor a .mcap or .db3 file")
        if (self.path / "metadata.yaml").exists():
            try:
                reader = self._open.enter_context(Reader(self.path))
                if not any(map(_lacks_index, reader.storage.storages)):
                    return [reader]
            except BROKEN as error:
                told = error
        # The parts of a bag are numbered: the tenth comes after the ninth.
        files = sorted(
            (file for kind in FILES for file in self.path.glob(kind)), key=lambda file: (len(file.name), file)
        )
        if not files:
            raise told
        return [self._open_file(file) for file in files]

    def _open_file(self, file: Path) -> Reader:
        try:
            return self._open.enter_context(Reader(file))
        except BROKEN:
            if file.suffix != ".mcap":
                raise
            whole = WholePart(file)
            if not whole.end:
                raise
            self.cut_off.append(file.name)
            return self._open.enter_context(Reader(whole))


def _lacks_index(storage) -> bool:
    """Whether it is an MCAP file that was not ended, or not by its writer."""
    return isinstance(storage, McapReader) and not storage.chunks


def _is_latched(connection: Connection) -> bool:
    profiles = connection.ext.offered_qos_profiles
    return any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in profiles)


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
