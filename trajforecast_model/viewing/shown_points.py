"""Which points of a view are drawn as lines: those that move, thinned out where they are too many."""

import numpy as np

from trajforecast_model.tracks.overlay import DEFAULT_STYLE

MOST_TRACK_BYTES = 3_000_000  # of all moments together, at 4 bytes a position


def shown_points(tracks: list[np.ndarray], size: tuple[int, int], most_bytes: int) -> tuple[np.ndarray, ...]:
    """Those that move in some track, in an order whose beginning is spread over the picture; and those that do not.

    Args:
        tracks: [k, T, H, W, 2] each, of the same points.
        size: (height, width) of the picture.
        most_bytes: that the tracks of all points may take, at 4 bytes a position.

    Returns:
        Rows and columns of the points that are shown, [P] each, and bool [H, W] of those that stay where they are.
    """
    reach = np.max([np.linalg.norm(t - t[:, :1], axis=-1).max(axis=(0, 1)) for t in tracks], axis=0)  # [H, W]
    moves = reach > DEFAULT_STYLE.min_motion * max(size)
    bytes_a_point = sum(4 * t.shape[0] * t.shape[1] for t in tracks)
    places = np.argwhere(moves)
    places = places[np.random.default_rng(0).permutation(len(places))][: max(1, most_bytes // bytes_a_point)]
    return *places.T, ~moves
