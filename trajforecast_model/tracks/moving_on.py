"""A forecast some time later: what it said of the points that were seen then, told of the grid of the present picture."""

import cv2
import numpy as np

from trajforecast_model.tracks.extrapolation import DECAY, steps_ahead
from trajforecast_model.tracks.grid import query_points


def moved_on(tracks: np.ndarray, steps: float, image_size: tuple[int, int]) -> np.ndarray:
    """Sampled futures as they look `steps` later, of a new grid over the picture of then.

    Each new point goes on as the old point does that is nearest to it at that moment. Of several in the same cell of the grid
    it is the one that moves least like the rest: it belongs to what is in front, an arm before a still table, or a gripper
    that the camera carries along before a moving one. Beyond the horizon all goes on at its last velocity, decaying.

    Args:
        tracks: float32 [k, T, H, W, 2], pixels of an image of `image_size`.
        steps: how much later, in steps of the forecast; need not be whole.

    Returns:
        float32 [k, T, H, W, 2]; index 0 is the grid.
    """
    num_frames, rows, columns = tracks.shape[1:4]
    points = query_points((rows, columns), image_size)
    later = _at_times(tracks.reshape(*tracks.shape[:2], -1, 2), steps + np.arange(num_frames))  # [k, T, P, 2]
    result = np.empty_like(tracks)
    for sample, of in zip(result, later, strict=True):
        motion = of - of[0]
        sources = _nearest_sources(of[0], motion[-1], (rows, columns), image_size)
        sample[:] = points + motion[:, sources]
    return result


def _at_times(tracks: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Positions between frames and beyond the last; tracks [k, T, P, 2], times [n] in frames."""
    last = tracks.shape[1] - 1
    beyond = steps_ahead(int(np.ceil(max(times.max() - last, 0))) + 1, DECAY)  # of the last velocity, [whole steps]
    velocity = tracks[:, -1] - tracks[:, -2]
    extended = np.concatenate(
        [tracks, tracks[:, -1:] + velocity[:, None] * beyond[1:, None, None].astype(np.float32)], axis=1
    )
    before = np.minimum(np.floor(times).astype(int), extended.shape[1] - 1)
    after = np.minimum(before + 1, extended.shape[1] - 1)
    share = (times - before).astype(np.float32)[:, None, None]
    return extended[:, before] * (1 - share) + extended[:, after] * share


def _nearest_sources(
    places: np.ndarray, motion: np.ndarray, grid: tuple[int, int], image_size: tuple[int, int]
) -> np.ndarray:
    """Which of the scattered points [P, 2] each point of the grid takes its motion [P, 2] from, int [rows, columns]."""
    (rows, columns), (height, width) = grid, image_size
    cells = np.floor(places * (columns / width, rows / height)).astype(int)
    inside = ((cells >= 0) & (cells < (columns, rows))).all(axis=1)
    if not inside.any():
        return np.arange(rows * columns).reshape(grid)
    unlike = np.abs(motion - np.median(motion, axis=0)).sum(axis=1)
    order = np.argsort(unlike, kind="stable")
    order = order[inside[order]]
    sources = np.full(grid, -1)
    sources[cells[order, 1], cells[order, 0]] = order  # what is written last stays
    holes = (sources < 0).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(holes, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    of_label = np.zeros(labels.max() + 1, int)
    of_label[labels[holes == 0]] = sources[holes == 0]
    return of_label[labels]
