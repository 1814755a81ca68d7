"""TrajLoom's file of a video's tracks: an npz of where the points of its first frame are in all of its frames.

The points are the top-left pixels of the cells of a regular grid, row by row. Positions are in pixels of the video, x and
y, with the centre of the first pixel at 0.
"""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from trajforecast_model.data.demo import PointTracks

_TRACKS = ("trajectory", "trajectories", "tracks")
_VISIBILITY = ("visibility", "visibilities", "vis")


def read_tracks(path: Path, grid: tuple[int, int], size: tuple[int, int], frames: int, slack: int = 0) -> PointTracks:
    """The tracks of `path`, [points, frames, 2] or [frames, points, 2] there, in pixels of a video of `size`.

    Hidden points that are nowhere (not a number) are taken to stay where they were last.

    Args:
        grid: rows, columns of points that there should be.
        size: (height, width) of the video.
        frames: of the video.
        slack: by how many its frames may be counted wrong.

    Raises:
        ValueError: naming the file, where it is damaged, is not of this grid or video, does not tell which of its axes is
            time, or shows a point that is nowhere.
    """
    tracks, visible = _arrays(path)
    points = grid[0] * grid[1]
    if tracks.ndim != 3 or tracks.shape[2] != 2:
        raise ValueError(f"{path}: its tracks have the axes {_by(tracks)}, expected {points} x {frames} x 2 (x and y)")
    if points not in tracks.shape[:2]:
        raise ValueError(
            f"{path}: its tracks are {_by(tracks)}, and no axis has the {points} points of a grid of {grid[0]} x {grid[1]}; "
            "give --grid ROWSxCOLUMNS"
        )
    in_time = [
        axis for axis in (0, 1) if tracks.shape[1 - axis] == points and abs(tracks.shape[axis] - frames) <= slack
    ]
    if not in_time:
        told = next(tracks.shape[axis] for axis in (1, 0) if tracks.shape[1 - axis] == points)
        raise ValueError(f"{path}: its tracks are of {told} frames, the video has {frames}")
    begins = [axis for axis in in_time if _begins_on_grid(tracks.take(0, axis), grid, size)]
    if not begins:
        raise ValueError(
            f"{path}: its tracks do not begin in the cells of a grid of {grid[0]} x {grid[1]}, row by row, x before y, on "
            f"{size[0]} x {size[1]} pixels; give the --grid of its points"
        )
    if len(begins) > 1:
        raise ValueError(f"{path}: its tracks are {_by(tracks)}: which axis is time? Give it with other lengths")
    if begins[0] == 1:
        tracks = tracks.swapaxes(0, 1)  # [T, N, 2]
    if visible.shape not in (tracks.shape[:2], tracks.shape[1::-1]):
        raise ValueError(
            f"{path}: its visibility is {_by(visible)}, its tracks {_by(tracks)}; expected a flag a position"
        )
    if visible.shape != tracks.shape[:2] or (tracks.shape[0] == tracks.shape[1] and begins[0] == 1):
        visible = visible.T
    nowhere = ~np.isfinite(tracks).all(axis=-1)
    if (nowhere & visible).any():
        frame, point = np.argwhere(nowhere & visible)[0]
        raise ValueError(f"{path}: point {point} is visible in frame {frame} and its position is not a finite number")
    return PointTracks((_filled(tracks, nowhere, grid, size) + 0.5).astype(np.float32), visible)


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """As they are stored: tracks, float, and whether points are seen, bool."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            tracks = next((stored[name] for name in _TRACKS if name in stored), None)
            visible = next((stored[name] > 0.5 for name in _VISIBILITY if name in stored), None)
            if visible is None:
                hidden = next((name for name in stored.files if name.lower().startswith("occ")), None)
                visible = None if hidden is None else ~(stored[hidden] > 0.5)
            names = ", ".join(stored.files)
    except (OSError, EOFError, ValueError, TypeError, BadZipFile) as error:
        raise ValueError(f"{path} is not an npz file of tracks: {error}") from error
    for found, wanted in ((tracks, _TRACKS), (visible, (*_VISIBILITY, "occluded"))):
        if found is None:
            raise ValueError(f"{path} has none of {', '.join(wanted)}; it has {names}")
    if not np.issubdtype(tracks.dtype, np.number) or np.iscomplexobj(tracks):
        raise ValueError(f"{path}: its tracks are {tracks.dtype}, expected numbers")
    return tracks.astype(np.float64), visible


def _begins_on_grid(start: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether most of the points [N, 2] lie within a cell of the top-left pixel of theirs."""
    there = np.isfinite(start).all(axis=-1)
    cell = np.array([size[1] / grid[1], size[0] / grid[0]])
    away = np.abs(start - _corners(grid, size))[there] / cell
    return not there.any() or bool(np.median(away.max(axis=-1)) < 1)


def _corners(grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The top-left pixels of the cells, [N, 2] as (x, y)."""
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.stack([columns * (size[1] / grid[1]), rows * (size[0] / grid[0])], axis=-1)


def _filled(tracks: np.ndarray, nowhere: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """[T, N, 2] with the last position, or at first the next one, or the cell's, where there is none."""
    if not nowhere.any():
        return tracks
    last = np.maximum.accumulate(np.where(nowhere, -1, np.arange(len(tracks))[:, None]), axis=0)  # [T, N]
    first = np.argmin(nowhere, axis=0)  # 0 too for a point that is nowhere at all
    filled = tracks[np.where(last < 0, first, last), np.arange(tracks.shape[1])]
    return np.where(np.isfinite(filled), filled, _corners(grid, size))


def _by(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))
