"""What record_node wrote into a bag, or has written so far: images and forecasts by their stamps.

Stamps are nanoseconds, of recording where a camera gives none.
"""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from struct import unpack_from
from typing import NamedTuple

import numpy as np
from rclpy.serialization import deserialize_message
from trajforecast_msgs.msg import PredictedTracks, TrackSummary

from trajforecast_model.bags.mcap_records import (
    CHANNEL,
    CHUNK,
    DATA_END,
    MAGIC,
    MESSAGE,
    MESSAGE_START,
    SCHEMA,
    UNFINISHED,
    whole_records,
)
from trajforecast_ros.images import to_rgb
from trajforecast_ros.messages import read_summary, read_tracks
from trajforecast_ros.recording.message_definitions import message_class

CHUNK_START = 40  # bytes of an uncompressed chunk before its records
TRACKS, SUMMARY = "/predicted_tracks", "/predicted_tracks/summary"


@dataclass(frozen=True)
class RecordedForecast:
    stamp: int  # nanoseconds, of the newest image that it was made from
    views: tuple[str, ...]
    tracks: np.ndarray  # float32 [V, k, T, H, W, 2], pixels of each view's own image
    mean_t: np.ndarray  # float32 [V, T, H, W, 2]
    min: np.ndarray  # float32 [V, T, H, W, 2]
    instruction: str
    model_id: str
    compute_time: float  # seconds, of the model
    latency: float  # seconds from the arrival of the newest image at the recorder to that of the forecast


class _Place(NamedTuple):
    """Where a message is in the file, and when it was recorded, nanoseconds."""

    start: int
    length: int
    time: int
    type_name: str


class Recording:
    """Args: folder: that record_node was given; it may not be there yet, and grow while it is read."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._read_to = 0
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, tuple[str, str]] = {}  # topic and type
        self._places: dict[str, dict[int, list[_Place]]] = defaultdict(dict)  # by topic and stamp

    def update(self) -> None:
        """Looks what came since the last time."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            for record in whole_records(file, self._read_to or len(MAGIC), end):
                if record.kind in (DATA_END, UNFINISHED):  # the next chunk's place
                    break
                if record.kind == CHUNK:
                    self._look_into(file, record.start + CHUNK_START, record.start + record.length)
                self._read_to = record.start + record.length

    def image_stamps(self, view: str) -> list[int]:
        return sorted(self._places[f"/{view}/image_raw"])

    def forecast_stamps(self) -> list[int]:
        return sorted(self._places[SUMMARY].keys() & self._places[TRACKS].keys())

    def image(self, view: str, stamp: int) -> np.ndarray:
        """uint8 [height, width, 3]"""
        return to_rgb(self._message(self._places[f"/{view}/image_raw"][stamp][0]))

    def forecast(self, stamp: int) -> RecordedForecast:
        """The first forecast of these images: a call of ~/predict may have made another.

        Raises:
            ValueError: when of none both tracks and summary were recorded.
        """
        summaries = [self._message(place) for place in self._places[SUMMARY][stamp]]
        for place in self._places[TRACKS][stamp]:
            message = self._message(place)
            for summary in summaries:
                if summary.compute_time == message.compute_time:
                    return self._forecast(stamp, place, message, summary)
        raise ValueError(f"{self.folder} has no summary of the forecast of stamp {stamp} ns; record again")

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.folder.name}_0.mcap"

    def _forecast(self, stamp: int, place: _Place, message: PredictedTracks, summary: TrackSummary) -> RecordedForecast:
        tracks, brief = read_tracks(message), read_summary(summary)
        arrivals = [each.time for view in tracks.views for each in self._places[f"/{view}/image_raw"].get(stamp, ())]
        return RecordedForecast(
            stamp=stamp,
            views=tracks.views,
            tracks=tracks.tracks,
            mean_t=brief.mean_t,
            min=brief.min,
            instruction=message.instruction,
            model_id=message.model_id,
            compute_time=message.compute_time,
            latency=(place.time - max(arrivals)) / 1e9 if arrivals else float("nan"),
        )

    def _look_into(self, file, start: int, end: int) -> None:
        """Notes schemas, channels and messages of a chunk."""
        for record in whole_records(file, start, end):
            if record.kind == MESSAGE:
                file.seek(record.start)
                channel, time, stamp = _message_start(file.read(MESSAGE_START + 12))
                topic, type_name = self._channels[channel]
                place = _Place(record.start + MESSAGE_START, record.length - MESSAGE_START, time, type_name)
                self._places[topic].setdefault(stamp or time, []).append(place)
            elif record.kind in (SCHEMA, CHANNEL):
                file.seek(record.start)
                content = file.read(record.length)
                (number,) = unpack_from("<H", content)
                if record.kind == SCHEMA:
                    self._schemas[number] = _text(content, 2)
                else:
                    self._channels[number] = (_text(content, 4), self._schemas[unpack_from("<H", content, 2)[0]])

    def _message(self, place: _Place):
        with self._file.open("rb") as file:
            file.seek(place.start)
            return deserialize_message(file.read(place.length), message_class(place.type_name))


def _message_start(start: bytes) -> tuple[int, int, int]:
    """Channel, time of recording and header stamp, nanoseconds, of a message whose first field is a header."""
    channel, _, time, _ = unpack_from("<HIQQ", start)
    order = "<" if len(start) > MESSAGE_START + 1 and start[MESSAGE_START + 1] else ">"
    seconds, nanoseconds = unpack_from(f"{order}iI", start.ljust(MESSAGE_START + 12, b"\0"), MESSAGE_START + 4)
    return channel, time, seconds * 1_000_000_000 + nanoseconds


def _text(content: bytes, start: int) -> str:
    (length,) = unpack_from("<I", content, start)
    return content[start + 4 : start + 4 + length].decode()
