"""A .db3 file of rosbag2, whole or not.

rosbags' own reader takes a file as one that nobody writes: it passes over what is still in the write-ahead log, and
refuses a file that was cut off.
"""

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import quote

from rosbags.interfaces import QosDurability
from rosbags.rosbag2.metadata import parse_qos

LOCK_SECONDS = 10.0  # that a recorder may take to write what it has
_QUERY = "SELECT topic_id, timestamp, data FROM messages {} WHERE topic_id IN ({}) AND timestamp >= ? ORDER BY {}"
EVER = (-(2**63), 2**63 - 1)


class SqliteFile:
    """Raises sqlite3.Error when it is none, or nothing of it can be read.

    topics: name, type and whether it is latched, by their numbers.
    cut_off: whether the file ends before what it says of itself.
    """

    def __init__(self, path: Path):
        self.cut_off = False
        try:
            self._open(path, "mode=ro")
        except sqlite3.Error:
            # What a killed recorder left to be undone needs the right to write, which is not ours.
            try:
                self._open(path, "immutable=1")
            except sqlite3.Error:
                self._open(path, "immutable=1", or_what_is_there=True)
                self.cut_off = True

    def in_time(self, numbers: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
        """Topic, time and data of messages. Raises sqlite3.Error where the file is damaged."""
        return self._messages(numbers, "", "timestamp", EVER[0])

    def as_written(self, numbers: Collection[int], start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
        """As `in_time`, in the order of writing. Of a file that was cut off, the index may lie behind its end: rows are
        read one after the other."""
        for number, time, data in self._messages(numbers, "NOT INDEXED", "id", start):
            # Not left to SQLite: it would look beyond the last of them, where the file may be damaged.
            if time < stop:
                yield number, time, data

    def _messages(self, numbers, how: str, order: str, start: int) -> Iterator[tuple[int, int, bytes]]:
        query = _QUERY.format(how, ",".join("?" * len(numbers)), order)
        yield from self._connection.execute(query, (*numbers, start))

    def close(self) -> None:
        self._connection.close()

    def _open(self, path: Path, how: str, or_what_is_there: bool = False) -> None:
        self._connection = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=LOCK_SECONDS)
        try:
            if or_what_is_there:
                # Without it, SQLite opens no file that is shorter than its head says.
                self._connection.execute("PRAGMA writable_schema=ON")
            columns = {row[1] for row in self._connection.execute("PRAGMA table_info(topics)")}
            quality = "offered_qos_profiles" if "offered_qos_profiles" in columns else "''"
            rows = self._connection.execute(f"SELECT id, name, type, {quality} FROM topics").fetchall()
            self._connection.execute("SELECT 1 FROM messages LIMIT 1").fetchall()
        except sqlite3.Error:
            self._connection.close()
            raise
        self.topics = {number: (name, kind, is_latched(parse_qos(text))) for number, name, kind, text in rows}


def is_latched(profiles) -> bool:
    """Of the quality of service that publishers offered."""
    return any(profile.durability == QosDurability.TRANSIENT_LOCAL for profile in profiles)
