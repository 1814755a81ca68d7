"""Where the points of a video's first frame went, by two trackers of which each is wrong in other places.

Lucas-Kanade is precise where a patch has something to hold on to, and loses most of what moves. Dense flow goes on over
plain surfaces and smears motion over the edges of things. What the neighbours of a point do, as far as they could be
followed, is a third opinion: where dense flow agrees with that and the picture does too, it is believed.
"""

import numpy as np

from trajforecast_model.tracks.dense_flow import DenseTracker
from trajforecast_model.tracks.optical_flow import PointTracker, change_of_appearance, reliable

NEIGHBOURS = 9
# Pixels at 128 that dense flow may differ from the neighbours at any time: where most stands still, it is at the edges of
# what moves that it goes wrong; where the camera moves, neighbours are at other depths and differ themselves.
AGREES_WITHIN, AGREES_WITHIN_OF_A_MOVING_CAMERA = 2.0, 4.0
_LEFT, _CAMERA_MOVES = (
    2.0,
    0.5,
)  # pixels at 128 from which a point has left its start, and the share of points that have
SEEN_WITHIN = 25.0  # grey levels that the picture around a point may differ in the last frame from the first
_AT_ONCE = 512  # points whose neighbours are looked for at a time


class TwoTrackers:
    """Follows points from frame to frame.

    Args:
        frame: grey uint8 [H, W], the frame that the points are on.
        points: [P, 2] pixels, (0, 0) the corner of the top-left pixel.
    """

    def __init__(self, frame: np.ndarray, points: np.ndarray):
        self._precise, self._dense = PointTracker(frame, points), DenseTracker(frame, points)
        self._frames = [frame]
        self._tracks = [(self._precise.points.copy(), self._dense.points)]

    def update(self, frame: np.ndarray) -> None:
        """Goes on to the next frame. Raises ValueError for one of another size."""
        for tracker in (self._precise, self._dense):
            tracker.update(frame)
        self._frames.append(frame)
        self._tracks.append((self._precise.points.copy(), self._dense.points))

    def tracks(self) -> tuple[np.ndarray, np.ndarray]:
        """Over all frames so far, float32 [T, P, 2], and which of them to believe, bool [P]."""
        precise, dense = (np.stack(tracks) for tracks in zip(*self._tracks, strict=True))
        frames = np.stack(self._frames)
        sure = self._precise.found & reliable(frames, precise)
        if sure.all() or not sure.any():
            return precise, sure
        unsure = np.flatnonzero(~sure)
        beside = moved_as_neighbours(precise[:, sure], dense[:, unsure])
        apart = np.linalg.norm(dense[:, unsure] - beside, axis=-1).max(axis=0)
        height, width = frames.shape[1:]
        scale = max(1.0, max(height, width) / 128)
        left = np.linalg.norm(dense[-1] - dense[0], axis=-1) > _LEFT * scale
        tolerance = AGREES_WITHIN_OF_A_MOVING_CAMERA if left.mean() > _CAMERA_MOVES else AGREES_WITHIN
        agrees = apart < tolerance * scale
        ends_inside = ((dense[-1, unsure] >= 0) & (dense[-1, unsure] < (width, height))).all(axis=-1)
        looks_alike = change_of_appearance(frames[[0, -1]], dense[[0, -1]][:, unsure])[-1] < SEEN_WITHIN
        tracks, believed = precise.copy(), sure.copy()
        tracks[:, unsure] = dense[:, unsure]
        believed[unsure] = agrees & ends_inside & looks_alike
        return tracks, believed


def moved_as_neighbours(followed: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Where other points would be if each made the steps of the followed points beside it: the median of their steps.

    Args:
        followed: float32 [T, N, 2], N at least 1.
        others: float32 [T, P, 2], of which the first frame counts; beside is meant in that.

    Returns:
        float32 [T, P, 2].
    """
    steps = np.diff(followed, axis=0)  # [T - 1, N, 2]
    count = min(NEIGHBOURS, followed.shape[1])
    parts = []
    for first in range(0, others.shape[1], _AT_ONCE):
        start = others[0, first : first + _AT_ONCE]
        distance = ((start[:, None] - followed[0]) ** 2).sum(axis=-1)
        nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
        moved = np.cumsum(np.median(steps[:, nearest], axis=2), axis=0)  # [T - 1, P, 2]
        parts.append(np.concatenate([start[None], start + moved]))
    return np.concatenate(parts, axis=1).astype(np.float32) if parts else others.copy()
