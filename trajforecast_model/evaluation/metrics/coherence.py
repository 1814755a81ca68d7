"""Whether forecasts of consecutive moments tell of the same future. Pure numpy."""

import numpy as np

from trajforecast_model.tracks.grid import query_points


def temporal_coherence(
    earlier: np.ndarray, later: np.ndarray, points: np.ndarray, steps: int, image_size: tuple[int, int]
) -> float | None:
    """How far two forecasts lie apart where both tell of the same points at the same times.

    A point p of the earlier forecast x is at q = x[s, p] when the later one, y, begins. With v(q) the motion of y at q, read
    bilinearly between its points:

    c = mean over p and t = 1 .. T - 1 - s of |x[s + t, p] - q - v(q)[t]|^2, px^2

    Of what really happened it is not 0 either: where a moving thing ends, v(q) is of both sides, and what is hidden by
    then has another thing's motion.

    Args:
        earlier, later: [T, H, W, 2], px of an image of `image_size`.
        points: int [P] of the flattened grid.
        steps: s, from the earlier one's beginning to the later one's; from 1 to T - 2.

    Returns:
        None where none of the points is in the picture by then.
    """
    num_frames, rows, columns = earlier.shape[:3]
    if not 1 <= steps <= num_frames - 2:
        raise ValueError(f"steps: got {steps}, expected 1 to {num_frames - 2}, so that both tell of a common time")
    paths = earlier.reshape(num_frames, -1, 2)[steps:, points].astype(np.float64)  # [T - s, P, 2]
    height, width = image_size
    inside = ((paths[0] >= 0) & (paths[0] <= (width, height))).all(axis=1)
    if not inside.any():
        return None
    paths = paths[:, inside]
    motion = later[1 : len(paths)].astype(np.float64) - later[0]  # [T - s - 1, H, W, 2]
    first = query_points((rows, columns), image_size)[0, 0]
    at = (paths[0] - first) / (width / columns, height / rows)  # in columns and rows
    return float(((paths[1:] - paths[0] - _read(motion, at)) ** 2).sum(axis=-1).mean())


def _read(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bilinear between the points of a grid, and at its border beyond: [T, H, W, C] at [P, (column, row)] -> [T, P, C]."""
    rows, columns = values.shape[1:3]
    at = np.clip(at, 0, (columns - 1, rows - 1))
    left, top = np.floor(at).astype(int).T
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    x, y = (at - np.floor(at)).T[..., None]
    above = values[:, top, left] * (1 - x) + values[:, top, right] * x
    below = values[:, bottom, left] * (1 - x) + values[:, bottom, right] * x
    return above * (1 - y) + below * y
