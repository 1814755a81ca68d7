"""Where the points of a video's first frame went, and which of them to believe, once its last frame is there.

Dense flow carries every point, also over plain surfaces, and goes wrong where it smears the motion of a thing over its
edges and where what it carried gets hidden. Three things tell such points: the points around them do not move along,
followed back from the last frame they take another way, or the picture under them is not the one that they started on.
Where Lucas-Kanade never lost a point and goes the same way, it is the more precise. A point that leaves the image goes on
as such points beside it do.
"""

import cv2
import numpy as np

from trajforecast_model.tracks.dense_flow import DenseTracker
from trajforecast_model.tracks.optical_flow import PointTracker

# Lengths are pixels of an image whose larger side is 128; they grow with larger images.
BESIDE = 2.0  # from a point to each of the eight around it
TOGETHER_WITHIN = 1.5  # that half of those eight may have come away from a point at any time
TURNED_TOGETHER_WITHIN = 0.6  # the same, once the eight are turned and grown as most of them did
BACK_WITHIN = 2.25  # between the way there and the way back, at any time
SAME_WAY_WITHIN = 1.0  # between Lucas-Kanade and dense flow, at any time
SEEN_WITHIN = 50.0  # grey levels that the picture under a point may differ in the last frame from the first
_BLUR = 0.8  # of the pictures that are compared: a turned texture is otherwise another one
GOES_ON_WITHIN = 2.0  # between dense flow and where a point that left the image goes on to, at any time
BORDER = 4.0  # from the border, where a patch is no longer whole
NEIGHBOURS = 9  # whose steps a point makes that has left the image
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
        self._precise_tracks, self._found = [points], [self._precise.found]

    def update(self, frame: np.ndarray) -> None:
        """Goes on to the next frame. Raises ValueError for one of another size."""
        self._tracker.update(frame)
        self._frames.append(frame)
        self._tracks.append(self._tracker.points)
        self._precise.update(frame)
        self._precise_tracks.append(self._precise.points.copy())
        self._found.append(self._precise.found.copy())

    def tracks(self) -> tuple[np.ndarray, np.ndarray]:
        """Over all frames so far, float32 [T, P, 2], and which of them to believe, bool [P]."""
        there = np.stack(self._tracks).reshape(len(self._tracks), 1 + len(_AROUND), -1, 2)
        tracks, around = there[:, 0], there[:, 1:]
        leads_back = self._misses_back(tracks) < BACK_WITHIN * self._scale
        looks_alike = self._change_of_picture(tracks) < SEEN_WITHIN
        precise, found = np.stack(self._precise_tracks), np.stack(self._found)
        same_way = np.linalg.norm(precise - tracks, axis=-1) < SAME_WAY_WITHIN * self._scale
        found &= np.logical_and.accumulate(same_way)
        best = self._carried_outside(np.where(found[-1][:, None], precise, tracks), precise, found)
        goes_on = np.linalg.norm(best - tracks, axis=-1).max(axis=0) < GOES_ON_WITHIN * self._scale
        return best, self._moves_with_others(tracks, around) & leads_back & looks_alike & goes_on

    def _carried_outside(self, tracks: np.ndarray, precise: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Points that end outside of the image go Lucas-Kanade's way as long as it has them, and make the steps of the
        points beside them that it never lost from where they come near the border.

        Args:
            tracks, precise: [T, P, 2], by dense flow and by Lucas-Kanade.
            found: bool [T, P], whether Lucas-Kanade has a point.
        """
        height, width = self._frames[0].shape
        gone = np.flatnonzero(((tracks[-1] < 0) | (tracks[-1] >= (width, height))).any(axis=-1))
        surest = found[-1].copy()
        if not surest.any() or not len(gone):
            return tracks
        from scipy.spatial import cKDTree  # half a second, which a node without scores does not wait for

        followed = tracks[:, surest]
        beside = cKDTree(followed[0]).query(tracks[0, gone], k=np.arange(min(NEIGHBOURS, surest.sum())) + 1)[1]
        theirs = np.median(np.diff(followed, axis=0)[:, beside], axis=2)  # [T - 1, gone, 2]
        margin = BORDER * self._scale
        near = ((tracks[:-1, gone] < margin) | (tracks[:-1, gone] >= (width - margin, height - margin))).any(axis=-1)
        near = np.logical_or.accumulate(near)[..., None]
        steps = np.where(near, theirs, np.diff(tracks[:, gone], axis=0))
        steps = np.where(found[1:, gone, None], np.diff(precise[:, gone], axis=0), steps)
        carried = tracks.copy()
        carried[1:, gone] = tracks[0, gone] + np.cumsum(steps, axis=0)
        return carried

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
