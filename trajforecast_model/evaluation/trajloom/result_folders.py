"""Forecasts in the files of TrajLoom's official code: a folder of each clip.

gt_tracks.npy  pred_tracks.npy  [T, N, 2] px      gt_visibility.npy  [T, N], visible above 1/2; without it every point counts
query_xy.npy   [N, 2], whose rows and columns tell the grid; without it the grid of N points that is nearest to a square
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trajforecast_model.evaluation.metrics.smoothness import Spacing

OFFICIAL_SPACING = 32.0  # px, where no query points tell another


@dataclass(frozen=True)
class Result:
    """A clip; points in the order of rows and columns."""

    folder: Path
    tracks: np.ndarray  # float32 [T, H, W, 2], px
    truth: np.ndarray  # float32 [T, H, W, 2]
    visible: np.ndarray | None  # bool [T, H, W], of the truth
    forecast_visible: np.ndarray | None  # bool [T, H, W]
    spacing: Spacing | None  # px between neighbouring query points, where these are told


def result_folders(root: Path) -> list[Path]:
    """The folders at or below `root` that hold a forecast, sorted.

    Raises:
        ValueError: where there is none.
    """
    if not root.is_dir():
        raise ValueError(f"data: {root} is not a folder")
    found = sorted(path.parent for path in root.rglob("pred_tracks.npy"))
    if not found:
        raise ValueError(
            f"data: {root} is neither prepared data (it has no dataset.json) nor results of TrajLoom's official code (no "
            "folder in it has a pred_tracks.npy)"
        )
    return found


def read_results(folders: list[Path]) -> Iterator[Result]:
    """Raises ValueError for a file that is missing, damaged or of other axes, and for clips that differ in theirs."""
    first = None
    for folder in folders:
        result = _read(folder)
        first = first or result
        if result.truth.shape != first.truth.shape:
            raise ValueError(
                f"{folder} has {_described(result)}, {first.folder} {_described(first)}; all clips of a benchmark have the "
                "same frames and grid"
            )
        yield result


def _described(result: Result) -> str:
    frames, rows, columns, _ = result.truth.shape
    return f"{frames} frames of {rows} x {columns} points"


def _read(folder: Path) -> Result:
    truth, tracks = _tracks(folder / "gt_tracks.npy"), _tracks(folder / "pred_tracks.npy")
    if truth.shape != tracks.shape:
        raise ValueError(
            f"{folder}: pred_tracks.npy is {list(tracks.shape)}, gt_tracks.npy {list(truth.shape)}; expected [T, N, 2] alike"
        )
    frames, points, _ = truth.shape
    visible = _flags(folder / "gt_visibility.npy", (frames, points))
    forecast_visible = _flags(folder / "pred_visibility.npy", (frames, points))
    for name, array in (("gt_tracks.npy", truth), ("pred_tracks.npy", tracks)):
        finite = np.isfinite(array).all(axis=-1)
        if not (finite if visible is None else finite | ~visible).all():
            raise ValueError(f"{folder / name}: has positions that are not finite at points that are truly visible")
    order, (rows, columns), spacing = _grid(folder / "query_xy.npy", points)

    def laid_out(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[:, order].reshape(frames, rows, columns, *array.shape[2:])

    return Result(folder, *map(laid_out, (tracks, truth, visible, forecast_visible)), spacing)


def _grid(path: Path, points: int) -> tuple[np.ndarray, tuple[int, int], Spacing | None]:
    """The order of the points by rows and columns, how many of these there are, and the pixels between them."""
    if not path.exists():
        rows = max(side for side in range(1, math.isqrt(points) + 1) if points % side == 0)
        return np.arange(points), (rows, points // rows), None
    queries = _array(path)
    if queries.shape != (points, 2):
        raise ValueError(f"{path}: expected {[points, 2]} query points, got {list(queries.shape)}")
    queries = queries.round(3)
    x, columns = np.unique(queries[:, 0], return_inverse=True)
    y, rows = np.unique(queries[:, 1], return_inverse=True)
    order = np.argsort(rows.ravel() * len(x) + columns.ravel(), kind="stable")
    taken = len(np.unique(queries, axis=0))
    if len(x) * len(y) != points or taken != points:
        raise ValueError(
            f"{path}: {points} query points, {taken} of them different, at {len(y)} rows and {len(x)} columns are no grid"
        )
    return order, (len(y), len(x)), _spacing(path, x, y)


def _spacing(path: Path, x: np.ndarray, y: np.ndarray) -> Spacing | None:
    gaps = [np.unique(np.diff(axis)) for axis in (x, y)]
    if any(len(gap) and gap.max() - gap.min() > 1e-3 * gap.max() for gap in gaps):
        raise ValueError(f"{path}: its rows or columns are not equally far apart, so that flow has no one spacing")
    across, down = (float(gap[0]) if len(gap) else None for gap in gaps)
    return None if across is None or down is None else (across, down)


def _tracks(path: Path) -> np.ndarray:
    tracks = _array(path)
    tracks = tracks[0] if tracks.ndim == 4 and len(tracks) == 1 else tracks  # some save a batch of one
    if tracks.ndim != 3 or tracks.shape[-1] != 2 or 0 in tracks.shape:
        raise ValueError(f"{path}: expected tracks [T, N, 2], got {list(tracks.shape)}")
    return tracks.astype(np.float32)


def _flags(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    if not path.exists():
        return None
    flags = _array(path)
    flags = flags[0] if flags.ndim == 3 and len(flags) == 1 else flags
    if flags.shape != shape:
        raise ValueError(f"{path}: expected visibility {list(shape)}, got {list(flags.shape)}")
    return flags > 0.5


def _array(path: Path) -> np.ndarray:
    try:
        array = np.load(path)
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist; a clip's folder holds gt_tracks.npy and pred_tracks.npy") from error
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a readable .npy file ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise ValueError(f"{path}: expected an array of numbers")
    return array
