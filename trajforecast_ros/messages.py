"""Forecasts to ROS messages and back to arrays with named axes.

Large arrays are lent to the messages: rclpy copies them as blocks of memory when it publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from std_msgs.msg import Header
from trajforecast_msgs.msg import PredictedTracks, TrackSummary, ViewInfo

from trajforecast_ros.reduction import EVERYTHING, Reduction, reduce_samples, reduce_summary

if TYPE_CHECKING:  # so that a policy that only reads forecasts does not load PyTorch
    from trajforecast_model.forecaster import Forecast


@dataclass(frozen=True)
class Source:
    """Where a view of a forecast came from: its image's header and size."""

    view: str
    header: Header
    width: int
    height: int


@dataclass(frozen=True)
class Circumstances:
    """What the messages tell about a forecast that the forecast itself does not know."""

    sources: list[Source]  # one a view, in the order of Forecast.views
    instruction: str
    model_id: str
    compute_time: float  # seconds
    history_frames: int = 0  # of the past that it was made from, of the view that had fewest

    @property
    def image_sizes(self) -> list[tuple[int, int]]:
        return [(source.height, source.width) for source in self.sources]


@dataclass(frozen=True)
class _ForecastArrays:
    """What both kinds of arrays have."""

    views: tuple[str, ...]
    stamp: float  # seconds, of the newest view's image
    stamps: tuple[float, ...]  # of each view's own image
    dt: float
    image_sizes: tuple[tuple[int, int], ...]  # (height, width) of each view

    def view_index(self, view: str) -> int:
        """Where a view is on the arrays' first axis.

        Raises:
            ValueError: when the message has no such view, say because its camera is silent.
        """
        if view not in self.views:
            raise ValueError(f"there is no view {view!r} in this message; it has {', '.join(self.views)}")
        return self.views.index(view)


@dataclass(frozen=True)
class TrackArrays(_ForecastArrays):
    """A PredictedTracks message as arrays; positions are pixels of each view's own image.

    tracks: float32 [view, sample, step, row, column, xy].
    visibility: float32 [view, sample, step, row, column], probabilities, or None.
    confidence: float32 [view, sample], the share of the samples that lie near this one; sums to 1 over all that were
        made. None in a message of who does not say it.
    history_frames: of the past that the forecast was made from, of the view that had fewest; 0 of the present alone.

    Step 0 of a track is where its point is now; step t of a view is the moment
    stamps[view] + t * dt, for the newest view stamp + t * dt.
    """

    tracks: np.ndarray
    visibility: np.ndarray | None
    confidence: np.ndarray | None = None
    history_frames: int = 0

    AXES: ClassVar[tuple[str, ...]] = ("view", "sample", "step", "row", "column", "xy")

    def sel(self, **index) -> np.ndarray:
        """A part of `tracks` by the axes' names: sel(view="side", sample=0, step=slice(1, 5)).

        Args:
            index: by axis, a number, which takes the axis away, or a slice; for "view" a name too.

        Raises:
            ValueError: for an axis or a view that there is not.
        """
        unknown = index.keys() - set(self.AXES)
        if unknown:
            raise ValueError(f"tracks have no axis {min(unknown)!r}; they have {', '.join(self.AXES)}")
        if isinstance(index.get("view"), str):
            index["view"] = self.view_index(index["view"])
        return self.tracks[tuple(index.get(axis, slice(None)) for axis in self.AXES)]

    def at(self, view: str, pixel: tuple[float, float]) -> np.ndarray:
        """The futures of the point that is nearest to a pixel (x, y) now, [sample, step, xy].

        Raises:
            ValueError: for a view that there is not.
        """
        tracks = self.sel(view=view)
        now = tracks[:, 0].mean(axis=0)  # [row, column, xy]
        row, column = np.unravel_index(np.linalg.norm(now - pixel, axis=-1).argmin(), now.shape[:2])
        return tracks[:, :, row, column]


@dataclass(frozen=True)
class SummaryArrays(_ForecastArrays):
    """A TrackSummary message as arrays; positions are pixels of each view's own image.

    mean_t: float32 [view, step, row, column, xy], the average of the samples.
    min: float32 [view, step, row, column, xy], the medoid sample.
    min_index: int64 [view], which sample that is; of all samples, also when fewer are published.
    spread: float32 [view, step, row, column], pixels.
    confidence: float32 [view, sample], the share of the samples that lie near this one; sums to 1. None as above.
    history_frames: as above.
    """

    mean_t: np.ndarray
    min: np.ndarray
    min_index: np.ndarray
    spread: np.ndarray
    confidence: np.ndarray | None = None
    history_frames: int = 0


def tracks_message(
    forecast: Forecast, circumstances: Circumstances, reduction: Reduction = EVERYTHING
) -> PredictedTracks:
    """The samples of every view."""
    samples = reduce_samples(forecast, circumstances.image_sizes, reduction)
    message = PredictedTracks()
    _fill_common(message, forecast, circumstances)
    message.num_samples = samples.tracks.shape[1]
    message.num_samples_made = forecast.num_samples
    message.num_steps, message.grid_height, message.grid_width = samples.tracks.shape[2:5]
    message._tracks = _lent(samples.tracks)
    if samples.visibility is not None:
        message._visibility = _lent(samples.visibility)
    message._confidence = _lent(forecast.confidence[:, : message.num_samples])
    return message


def summary_message(
    forecast: Forecast, circumstances: Circumstances, reduction: Reduction = EVERYTHING
) -> TrackSummary:
    """Mean, medoid and spread of every view, of all samples."""
    summary = reduce_summary(forecast, circumstances.image_sizes, reduction)
    message = TrackSummary()
    _fill_common(message, forecast, circumstances)
    message.num_samples = message.num_samples_made = forecast.num_samples
    message.num_steps, message.grid_height, message.grid_width = summary.spread.shape[1:]
    message._mean_t = _lent(summary.mean_track)
    message._min = _lent(summary.medoid_track)
    message.min_index = [int(index) for index in forecast.medoid]
    message._spread = _lent(summary.spread)
    message._confidence = _lent(forecast.confidence)
    return message


def read_tracks(message: PredictedTracks) -> TrackArrays:
    """The message's arrays, read-only views of its memory.

    Raises:
        ValueError: when the arrays do not have the announced shape.
    """
    shape = (len(message.views), message.num_samples, *_steps_and_grid(message))
    return TrackArrays(
        *_views_and_times(message),
        tracks=_read("tracks", message.tracks, (*shape, 2)),
        visibility=_read("visibility", message.visibility, shape) if len(message.visibility) else None,
        confidence=_read("confidence", message.confidence, shape[:2]) if len(message.confidence) else None,
        history_frames=message.history_frames,
    )


def read_summary(message: TrackSummary) -> SummaryArrays:
    """The message's arrays, read-only views of its memory.

    Raises:
        ValueError: when the arrays do not have the announced shape.
    """
    shape = (len(message.views), *_steps_and_grid(message))
    by_sample = (len(message.views), message.num_samples)
    return SummaryArrays(
        *_views_and_times(message),
        mean_t=_read("mean_t", message.mean_t, (*shape, 2)),
        min=_read("min", message.min, (*shape, 2)),
        min_index=np.array(message.min_index, dtype=np.int64),
        spread=_read("spread", message.spread, shape),
        confidence=_read("confidence", message.confidence, by_sample) if len(message.confidence) else None,
        history_frames=message.history_frames,
    )


def _fill_common(message: PredictedTracks | TrackSummary, forecast: Forecast, circumstances: Circumstances) -> None:
    sources = circumstances.sources
    message.header = max((source.header for source in sources), key=nanoseconds)
    message.instruction = circumstances.instruction
    message.model_id = circumstances.model_id
    message.dt = float(forecast.dt)
    message.compute_time = float(circumstances.compute_time)
    message.views = [
        ViewInfo(header=source.header, name=source.view, width=source.width, height=source.height) for source in sources
    ]
    message.num_solver_steps = forecast.steps
    message.history_frames = circumstances.history_frames
    message.seed = forecast.seed


def _lent(values: np.ndarray) -> memoryview:
    """An array as what a message may hold in place of an array.array of float32.

    A field's setter takes an array.array, which has memory of its own, so a copy, or converts number by number; the
    conversion that publishes it copies the memory of anything that has some. So the field behind the setter is set.
    """
    return memoryview(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))


def _read(name: str, field, shape: tuple[int, ...]) -> np.ndarray:
    values = np.frombuffer(field, dtype=np.float32)
    if values.size != np.prod(shape):
        raise ValueError(f"{name} should have {' x '.join(map(str, shape))} numbers, got {values.size}")
    values = values.reshape(shape)
    values.flags.writeable = False
    return values


def _steps_and_grid(message: PredictedTracks | TrackSummary) -> tuple[int, int, int]:
    return message.num_steps, message.grid_height, message.grid_width


def _views_and_times(message: PredictedTracks | TrackSummary) -> tuple:
    return (
        tuple(view.name for view in message.views),
        nanoseconds(message.header) / 1e9,
        tuple(nanoseconds(view.header) / 1e9 for view in message.views),
        message.dt,
        tuple((view.height, view.width) for view in message.views),
    )


def nanoseconds(header: Header) -> int:
    """A header's stamp."""
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
