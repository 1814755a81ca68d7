"""More points than one a cell: TrajLoom carries one, so each of a cell's points is forecast in its turn."""

from collections.abc import Iterator

import numpy as np

from trajforecast_model.inference.past import check_history
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.history import History
from trajforecast_model.trajloom.checkpoint import TrajloomConfig
from trajforecast_model.trajloom.past import Past, given_past, point_in_cell

_SAME_PLACE = 0.01  # pixels


class PointsOfCells:
    """The points of a grid that is finer than the cells, and what is forecast of them.

    A network that was trained on one point a cell alone forecasts that one, and the cell's others move as it does.

    Args:
        history: where the points of the present grid were, [B, n, H, W, 2], the newest `config.history` - 1 of which count,
            and which were seen.
        images: RGB uint8 [B, height, width, 3], the pictures that this refers to.

    Raises:
        ValueError: where there is no such past, or its points are none that the network was trained on.
    """

    def __init__(self, history: History | None, images: np.ndarray, config: TrajloomConfig):
        before = config.history - 1
        check_reach(0 if history is None else history.tracks.shape[1], config)
        grid = history.tracks.shape[2:4]
        count, size = len(images), images.shape[1:3]
        check_history(history, count, grid)
        check_points(grid, size, config)
        self._turns = turns(grid, config)
        self._config, self._images = config, images
        now = query_points(grid, size)
        present = np.broadcast_to(now, (count, 1, *now.shape))
        tracks = np.concatenate([history.tracks[:, -before:], present], axis=1)
        self._seen = np.pad(history.visible[:, -before:], ((0, 0), (0, 1), (0, 0), (0, 0)), constant_values=True)
        self._tracks = _without_what_is_not_shown(tracks, self._seen)
        self._parts: list[tuple[np.ndarray, np.ndarray | None]] = []

    def in_turn(self) -> Iterator[list[Past]]:
        """The pasts of one point a cell after the other; `take` is told of each what was forecast."""
        for rows, columns in self._turns:
            yield [
                given_past(
                    "",
                    History(tracks[None, ..., rows, columns, :], seen[None, ..., rows, columns]),
                    image,
                    self._config,
                )
                for tracks, seen, image in zip(self._tracks, self._seen, self._images, strict=True)
            ]

    def take(self, tracks: np.ndarray, visibility: np.ndarray | None) -> None:
        """Tracks [B, k, T, rows, columns, 2] of the point whose turn it was, and how likely it is seen."""
        self._parts.append((tracks, visibility))

    def forecast(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Of all points: float32 [B, k, T, H, W, 2] pixels and, where the network tells it, [B, k, T, H, W]."""
        if not self._config.any_point:
            return self._as_their_cell_moves(*self._parts[0])
        first, seen = self._parts[0]
        shape = (*first.shape[:3], *self._tracks.shape[2:])
        tracks = np.empty(shape, np.float32)
        visibility = None if seen is None else np.empty(shape[:-1], np.float32)
        for (rows, columns), (of_turn, seen_of_turn) in zip(self._turns, self._parts, strict=True):
            tracks[..., rows, columns, :] = of_turn
            if visibility is not None:
                visibility[..., rows, columns] = seen_of_turn
        return tracks, visibility

    def _as_their_cell_moves(
        self, tracks: np.ndarray, visibility: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        p, q = check_grid(self._tracks.shape[2:4], self._config)
        moved = (tracks - tracks[:, :, :1]).repeat(p, axis=3).repeat(q, axis=4)
        dense = self._tracks[:, None, -1:] + moved
        return dense, None if visibility is None else visibility.repeat(p, axis=3).repeat(q, axis=4)


def _without_what_is_not_shown(tracks: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Before the first frame in which anything is seen, points stay where they are in it, as before a demo's beginning."""
    shown = np.maximum.accumulate(seen.any(axis=(2, 3)), axis=1)  # [B, frames]
    first = shown.argmax(axis=1)
    frames = np.maximum(np.arange(seen.shape[1]), first[:, None])  # [B, frames]
    return np.take_along_axis(tracks, frames[..., None, None, None], axis=1)


def turns(grid: tuple[int, int], config: TrajloomConfig) -> list[tuple[slice, slice]]:
    """Rows and columns of every cell's first point, of its second one, and so on: of those that the network knows."""
    p, q = check_grid(grid, config)
    places = [(i, j) for i in range(p) for j in range(q)] if config.any_point else [(0, 0)]
    return [(slice(i, None, p), slice(j, None, q)) for i, j in places]


def check_reach(frames: int, config: TrajloomConfig) -> None:
    """Raises ValueError where a past of so many frames before the present one is too short."""
    before = config.history - 1
    if frames < before:
        raise ValueError(
            f"history: got {frames} frames before the present one, expected {before}: TrajLoom forecasts from the past alone; "
            f"prepare the data with --history {before}"
        )


def check_grid(grid: tuple[int, int], config: TrajloomConfig) -> tuple[int, int]:
    """How many of a grid's rows and columns of points lie in a cell. Raises ValueError where that is no whole number."""
    if any(points % cells for points, cells in zip(grid, config.grid, strict=True)):
        raise ValueError(
            f"the data has {grid[0]} x {grid[1]} points, the checkpoint {config.grid[0]} x {config.grid[1]} cells, which do "
            "not divide them; prepare the data with the checkpoint's --grid, or a multiple of it"
        )
    return grid[0] // config.grid[0], grid[1] // config.grid[1]


def check_points(grid: tuple[int, int], size: tuple[int, int], config: TrajloomConfig) -> None:
    """Raises ValueError for points of a present grid, over pictures of `size`, that the network was not trained on."""
    if config.anchor != "present":
        raise ValueError(
            "the checkpoint's points are on the grid in the first frame of the past, the data's in the present one; take a "
            "checkpoint that was trained on data prepared with --anchor present"
        )
    check_grid(grid, config)
    x, y = point_in_cell(query_points(grid, size)[0, 0], size, config.image_size)
    if not config.any_point and max(abs(x - config.point[0]), abs(y - config.point[1])) > _SAME_PLACE:
        raise ValueError(
            f"the data's first point is {x:g} px right of and {y:g} px below its cell's first pixel, the checkpoint was "
            f"trained on points at {config.point[0]:g} and {config.point[1]:g} alone; evaluate it on data like its own, or "
            "train it with `points: any`"
        )
