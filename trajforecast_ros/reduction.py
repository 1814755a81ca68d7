"""Publishing less than the model forecasts: fewer grid points, points of one's own choice, fewer samples.

The summary is always over all samples, whatever is published of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trajforecast_model.tracks.summary import mean_track, spread

if TYPE_CHECKING:
    from trajforecast_model.forecaster import Forecast


@dataclass(frozen=True)
class Reduction:
    """What to leave out.

    Args:
        stride: every how many rows and columns of the grid one is kept, from the middle of the blocks that this makes.
        max_samples: how many samples are published, the first ones; 0 is all.
        points: (x, y) from (0, 0), the image's top-left corner, to (1, 1), its bottom-right one. They take the grid's
            place, as a row of it, and leave `stride` without a meaning.

    Raises:
        ValueError: for numbers out of range.
    """

    stride: int = 1
    max_samples: int = 0
    points: tuple[tuple[float, float], ...] = ()

    def __post_init__(self):
        if self.stride < 1:
            raise ValueError(f"output stride is {self.stride}, expected at least 1")
        if self.max_samples < 0:
            raise ValueError(f"the number of published samples is {self.max_samples}, expected at least 0 (all)")
        for x, y in self.points:
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise ValueError(f"query point {x:g},{y:g} lies outside the image; its corners are 0,0 and 1,1")


EVERYTHING = Reduction()


class Samples(NamedTuple):
    """Of the reduced grid, or with one row of N points: H = 1, W = N."""

    tracks: np.ndarray  # [V, n, T, H, W, 2]
    visibility: np.ndarray | None  # [V, n, T, H, W]


class Summary(NamedTuple):
    """Of the reduced grid, or with one row of N points: H = 1, W = N."""

    mean_track: np.ndarray  # [V, T, H, W, 2]
    medoid_track: np.ndarray  # [V, T, H, W, 2]
    spread: np.ndarray  # [V, T, H, W]


def parse_points(text: str) -> tuple[tuple[float, float], ...]:
    """ "0.5,0.5 0.25,0.75" as pairs of numbers; "" as none.

    A parameter cannot be a list of numbers that may be empty: ROS 2 takes an empty list for a list of bytes.

    Raises:
        ValueError: where that is not what the text says.
    """
    points = []
    for word in text.split():
        try:
            x, y = (float(number) for number in word.split(","))
        except ValueError:
            x = math.nan
        if not math.isfinite(x) or not math.isfinite(y):
            raise ValueError(f"query point {word!r} is not two numbers; expected points like 0.5,0.5 0.25,0.75")
        points.append((x, y))
    return tuple(points)


def reduce_samples(forecast: Forecast, image_sizes: list[tuple[int, int]], reduction: Reduction) -> Samples:
    """The samples to publish.

    Args:
        image_sizes: (height, width) of each view's image.
    """
    tracks = forecast.tracks[:, : reduction.max_samples or None]
    visibility = None if forecast.visibility is None else forecast.visibility[:, : reduction.max_samples or None]
    if reduction.points:
        lookups = _lookups(forecast, image_sizes, reduction)
        tracks = np.stack([lookup.tracks(of_view) for lookup, of_view in zip(lookups, tracks, strict=True)])
        if visibility is not None:
            of_views = zip(lookups, visibility[..., None], strict=True)
            visibility = np.stack([lookup.values(of_view) for lookup, of_view in of_views])[..., 0]
        return Samples(tracks, visibility)
    rows, columns = _kept(forecast, reduction.stride)
    return Samples(tracks[..., rows, columns, :], None if visibility is None else visibility[..., rows, columns])


def reduce_summary(forecast: Forecast, image_sizes: list[tuple[int, int]], reduction: Reduction) -> Summary:
    """Mean, medoid and spread of all samples.

    Args:
        image_sizes: (height, width) of each view's image.
    """
    if reduction.points:
        lookups = _lookups(forecast, image_sizes, reduction)
        tracks = [lookup.tracks(of_view) for lookup, of_view in zip(lookups, forecast.tracks, strict=True)]
        means = [mean_track(of_view) for of_view in tracks]
        return Summary(
            np.stack(means),
            np.stack([of_view[index] for of_view, index in zip(tracks, forecast.medoid, strict=True)]),
            np.stack([spread(of_view, mean) for of_view, mean in zip(tracks, means, strict=True)]),
        )
    rows, columns = _kept(forecast, reduction.stride)
    medoids = [
        of_view[index, :, rows, columns] for of_view, index in zip(forecast.tracks, forecast.medoid, strict=True)
    ]
    return Summary(forecast.mean_track[:, :, rows, columns], np.stack(medoids), forecast.spread[:, :, rows, columns])


def _kept(forecast: Forecast, stride: int) -> tuple[slice, slice]:
    """The rows and columns that a stride leaves; at least one of each."""
    rows, columns = forecast.tracks.shape[3:5]
    return tuple(slice(min(stride - 1, length - 1) // 2, None, stride) for length in (rows, columns))


def _lookups(forecast: Forecast, image_sizes: list[tuple[int, int]], reduction: Reduction) -> list[GridLookup]:
    relative = np.array(reduction.points)  # [N, 2]
    return [
        GridLookup(of_view, relative * (width, height))
        for of_view, (height, width) in zip(forecast.tracks, image_sizes, strict=True)
    ]


class GridLookup:
    """Bilinear interpolation of one view's grid at some points. A point beyond the grid's border, or beyond a cropped
    picture's, moves as the nearest point on it.

    Args:
        tracks: [k, T, H, W, 2], pixels; where they are in step 0, on average, is where the grid is.
        points: [N, 2], pixels.
    """

    def __init__(self, tracks: np.ndarray, points: np.ndarray):
        grid = tracks[:, 0].mean(axis=0)  # [H, W, 2]
        columns, rows = grid[..., 0].mean(axis=0), grid[..., 1].mean(axis=1)  # the x of each column, the y of each row
        x = np.clip(points[:, 0], columns[0], columns[-1])
        y = np.clip(points[:, 1], rows[0], rows[-1])
        self._beyond = (points - np.stack([x, y], axis=-1)).astype(np.float32)  # [N, 2]
        self._left, self._right, self._rightwards = _between(columns, x)
        self._upper, self._lower, self._downwards = _between(rows, y)

    def tracks(self, tracks: np.ndarray) -> np.ndarray:
        """[k, T, H, W, 2] -> [k, T, 1, N, 2], pixels."""
        return self.values(tracks) + self._beyond

    def values(self, values: np.ndarray) -> np.ndarray:
        """[k, T, H, W, C] -> [k, T, 1, N, C]"""
        upper = _mix(values[:, :, self._upper, self._left], values[:, :, self._upper, self._right], self._rightwards)
        lower = _mix(values[:, :, self._lower, self._left], values[:, :, self._lower, self._right], self._rightwards)
        return _mix(upper, lower, self._downwards)[:, :, None]


def _between(nodes: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each position the nodes before and after it, and the share of the way from one to the other, [N, 1]."""
    index = np.interp(positions, nodes, np.arange(len(nodes)))
    before = np.floor(index).astype(int)
    after = np.minimum(before + 1, len(nodes) - 1)
    return before, after, (index - before).astype(np.float32)[:, None]


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + share * (second - first)
