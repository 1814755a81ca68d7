"""Which tracks a viewer shows, and as what lines."""

import itertools
from dataclasses import dataclass

import numpy as np

from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import moving_points
from trajforecast_model.tracks.overlay import time_colours

PROTOCOL_SIZE = (128, 128)  # what the threshold of moving_points refers to
SAMPLE_OPACITY = 0.35


@dataclass(frozen=True)
class Lines:
    """Points that move, from now to the horizon.

    positions: float64 [line, step, xy], pixels; opacity: float64 [line]; colours: float64 [step, rgb], 0 to 1.
    """

    positions: np.ndarray
    opacity: np.ndarray
    colours: np.ndarray


def track_lines(
    tracks: np.ndarray, mean_track: np.ndarray, image_size: tuple[int, int], max_points: int = 150, samples: int = 0
) -> Lines:
    """The mean tracks of the points that move, and those of some samples.

    Args:
        tracks: [k, T, H, W, 2], pixels.
        mean_track: [T, H, W, 2], pixels.
        image_size: (height, width) of the view's image.
        max_points: of more points that move, as many are taken, evenly.
        samples: how many of the k samples are shown beside the mean, fainter.
    """
    moving = np.flatnonzero(moving_points(rescale(mean_track, image_size, PROTOCOL_SIZE)))
    shown = moving[:: max(1, -(-len(moving) // max_points))]
    futures = np.stack([mean_track, *tracks[:samples]])  # [1 + samples, T, H, W, 2]
    steps = futures.shape[1]
    positions = futures.reshape(len(futures), steps, -1, 2)[:, :, shown].swapaxes(1, 2)  # [1 + samples, P, T, 2]
    opacity = np.where(np.arange(len(futures)) == 0, 1.0, SAMPLE_OPACITY)
    return Lines(
        positions.reshape(-1, steps, 2).astype(np.float64),
        np.repeat(opacity, len(shown)),
        time_colours(steps) / 255,
    )


def both_ends(along: list) -> list:
    """a, b, c -> a, b, b, c: the ends of the segments of a line."""
    return [end for segment in itertools.pairwise(along) for end in segment]
