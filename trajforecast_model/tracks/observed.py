"""Where the points of a video's first frame went, and which of them to believe, once its last frame is there.

Dense flow carries every point, also over plain surfaces, and goes wrong where it smears the motion of a thing over its
edges and where what it carried gets hidden. Three things tell such points: the points around them do not move along,
followed back from the last frame they take another way, or the picture under them is not the one that they started on.
Where Lucas-Kanade never lost a point and goes the same way, it is the more precise.
"""

import cv2
import numpy as np

from trajforecast_model.tracks.dense_flow import DenseTracker
from trajforecast_model.tracks.optical_flow import PointTracker

# Lengths are pixels of an image whose larger side is 128; they grow with larger images.
BESIDE = 2.0  # from a point to each of the eight around it
TOGETHER_WITHIN = 1.5  # that half of those eight may have come away from a point at any time
TURNED_TOGETHER_WITHIN = 0.6  # the same, once the eight are turned and grown as most of them did
BACK_WITHIN, BACK_WITHIN_OF_A_MOVING_CAMERA = 2.5, 2.0  # between the way there and the way back, at any time
SAME_WAY_WITHIN = 1.0  # between Lucas-Kanade and dense flow, at any time
SEEN_WITHIN = 50.0  # grey levels that the picture under a point may differ in the last frame from the first
_BLUR = 0.8  # of the pictures that are compared: a turned texture is otherwise another one
_LEFT, _CAMERA_MOVES = 2.0, 0.5  # from where a point has left its start, and the share of points that have
_AROUND = np.array([x + 1j * y for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y], dtype=np.complex64)


class ObservedPoints:
    """Follows points from frame to frame.

    Args:
        frame: grey uint8 [H, W], the frame that the points are on.
        points: [P, 2] pixels, (0, 0) the corner of the top-left pixel.
    """

    def __init__(self, frame: np.ndarray, points: np.ndarray):
        self._scale = max(1.0, max(frame.shape) / 128)
        points = np.asarray(points, dtype=np.float32).reshape(-1, 2)
        offsets = np.stack([_AROUND.real, _AROUND.imag], axis=-1)
        around = points + BESIDE * self._scale * offsets[:, None]  # [8, P, 2]
        self._tracker = DenseTracker(frame, np.concatenate([points[None], around]).reshape(-1, 2))
        self._precise = PointTracker(frame, points)
        self._frames, self._tracks = [frame], [self._tracker.points]
        self._precise_tracks = [points]

    def update(self, frame: np.ndarray) -> None:
        """Goes on to the next frame. Raises ValueError for one of another size."""
        self._tracker.update(frame)
        self._frames.append(frame)
        self._tracks.append(self._tracker.points)
        self._precise.update(frame)
        self._precise_tracks.append(self._precise.points.copy())

    def tracks(self) -> tuple[np.ndarray, np.ndarray]:
        """Over all frames so far, float32 [T, P, 2], and which of them to believe, bool [P]."""
        there = np.stack(self._tracks).reshape(len(self._tracks), 1 + len(_AROUND), -1, 2)
        tracks, around = there[:, 0], there[:, 1:]
        left = np.linalg.norm(tracks[-1] - tracks[0], axis=-1) > _LEFT * self._scale
        back_within = BACK_WITHIN_OF_A_MOVING_CAMERA if left.sum() > _CAMERA_MOVES * len(left) else BACK_WITHIN
        leads_back = self._misses_back(tracks) < back_within * self._scale
        looks_alike = self._change_of_picture(tracks) < SEEN_WITHIN
        believed = self._moves_with_others(tracks, around) & leads_back & looks_alike
        precise = np.stack(self._precise_tracks)
        same_way = np.linalg.norm(precise - tracks, axis=-1).max(axis=0) < SAME_WAY_WITHIN * self._scale
        return np.where((self._precise.found & same_way)[:, None], precise, tracks), believed

    def _moves_with_others(self, tracks: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Whether half of the eight around a point stay beside it, or turn about it as one thing does, bool [P]."""
        beside = around - tracks[:, None]
        beside = (beside[..., 0] + 1j * beside[..., 1]) / (BESIDE * self._scale)  # [T, 8, P]
        turned = beside / _AROUND[:, None]
        turn = np.median(turned.real, axis=1) + 1j * np.median(turned.imag, axis=1)  # [T, P]
        stay = _come_away(beside, np.ones_like(turn)) < TOGETHER_WITHIN / BESIDE
        return stay | (_come_away(beside, turn) < TURNED_TOGETHER_WITHIN / BESIDE)

    def _misses_back(self, tracks: np.ndarray) -> np.ndarray:
        """Pixels between a point's way and its way back from the last frame where they are furthest apart, [P]."""
        tracker = DenseTracker(self._frames[-1], tracks[-1])
        furthest = np.zeros(tracks.shape[1], dtype=np.float32)
        for frame, before in zip(self._frames[-2::-1], tracks[-2::-1], strict=True):
            tracker.update(frame)
            furthest = np.maximum(furthest, np.linalg.norm(tracker.points - before, axis=-1))
        return furthest

    def _change_of_picture(self, tracks: np.ndarray) -> np.ndarray:
        """Grey levels between the picture under a point in the first frame and in the last, [P]."""
        first, last = (
            _under(cv2.GaussianBlur(self._frames[t], (0, 0), _BLUR * self._scale), tracks[t]) for t in (0, -1)
        )
        return np.abs(last - first)


def _come_away(beside: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """How far, at the worst time, the four of the eight around a point that stay nearest came away from their places, [P].

    Args:
        beside: complex [T, 8, P], where they are from the point.
        turn: complex [T, P], what turns and grows their places.
    """
    furthest = np.abs(beside - turn[:, None] * _AROUND[:, None]).max(axis=0)  # [8, P]
    return np.sort(furthest, axis=0)[len(_AROUND) // 2 - 1]


def _under(gray: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The picture's levels under points [P, 2], float32 [P]; outside of the image those of the nearest pixel."""
    height, width = gray.shape
    columns, rows = np.floor(points).astype(int).T
    return gray[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)].astype(np.float32)
