"""The records that an MCAP file consists of: https://mcap.dev/spec"""

from collections.abc import Iterator
from struct import pack, unpack
from typing import NamedTuple

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
STATISTICS, METADATA, METADATA_INDEX, SUMMARY_OFFSET, DATA_END = 0x0B, 0x0C, 0x0D, 0x0E, 0x0F
UNFINISHED = 0x80  # the first of the kinds that are left to applications
RECORD_START = 9  # bytes: what it is, and its length
MESSAGE_START = 22  # bytes of a message before its data


def record(kind: int, content: bytes) -> bytes:
    return pack("<BQ", kind, len(content)) + content


# No summary, no checksum.
SHORTEST_END = record(DATA_END, bytes(4)) + record(FOOTER, bytes(20)) + MAGIC


class Record(NamedTuple):
    kind: int
    start: int  # of its content in the file
    length: int


def whole_records(file, start: int, end: int) -> Iterator[Record]:
    """The records from one place in a file on, as far as they are whole.

    Args:
        file: opened for reading bytes.
        end: where the file, or the chunk that is looked into, ends.
    """
    while start + RECORD_START <= end:
        file.seek(start)
        beginning = file.read(RECORD_START)
        if len(beginning) < RECORD_START:
            return
        kind, length = unpack("<BQ", beginning)
        if not kind or start + RECORD_START + length > end:
            return
        yield Record(kind, start + RECORD_START, length)
        start += RECORD_START + length
