"""Points followed through a video with pyramidal Lucas-Kanade and a forward-backward check. Needs nothing but OpenCV.

Lucas and Kanade, IJCAI 1981; pyramids after Bouguet 2000; the check after Kalal et al., ICPR 2010.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class FlowConfig:
    """Lengths are pixels of an image whose larger side is 128; larger images get larger windows."""

    window: float = 5.0  # side of the patch that is matched; a large one drags still points along beside moving ones
    max_error: float = 0.5  # a point whose way forward and back ends further away than this is lost
    max_iterations: int = 30
    levels: int = 3  # of the pyramid, beyond the full image: motions up to 2^levels windows


class PointTracker:
    """Follows points from frame to frame. A point that is lost stays lost.

    Args:
        frame: RGB uint8 [H, W, 3] or grey uint8 [H, W], the frame that the points are on.
        points: [P, 2] pixels, (0, 0) the corner of the top-left pixel.
    """

    def __init__(self, frame: np.ndarray, points: np.ndarray, config: FlowConfig | None = None):
        config = config or FlowConfig()
        self._size = frame.shape[:2]
        scale = _scale(self._size)
        window = 2 * round(scale * config.window / 2) + 1
        # The coarsest image must still hold a window.
        levels = min(config.levels, int(np.log2(max(1.0, min(self._size) / window))))
        stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, config.max_iterations, 0.003)
        self._options = {"winSize": (window, window), "maxLevel": levels, "criteria": stop}
        self._max_error = config.max_error * scale
        self._gray = _gray(frame)
        self.points = np.array(points, dtype=np.float32).reshape(-1, 2)
        self.found = np.ones(len(self.points), dtype=bool)

    def update(self, frame: np.ndarray) -> None:
        """Goes on to the next frame: `points` float32 [P, 2] and `found` bool [P] are then those of this frame.

        A lost point keeps its last position.

        Raises:
            ValueError: for a frame of another size.
        """
        if frame.shape[:2] != self._size:
            raise ValueError(f"the video's frames are {self._size} (height, width), now one of {frame.shape[:2]} came")
        gray = _gray(frame)
        if self.found.any():
            start = self.points[self.found] - 0.5  # OpenCV has the pixel's centre at whole numbers
            end, forward, _ = cv2.calcOpticalFlowPyrLK(self._gray, gray, start, None, **self._options)
            back, backward, _ = cv2.calcOpticalFlowPyrLK(gray, self._gray, end, None, **self._options)
            height, width = self._size
            inside = ((end > -0.5) & (end < (width - 0.5, height - 0.5))).all(axis=1)
            closes = np.linalg.norm(back - start, axis=1) < self._max_error
            followed = inside & closes & (forward[:, 0] == 1) & (backward[:, 0] == 1)
            moved = np.flatnonzero(self.found)[followed]
            self.points[moved] = end[followed] + 0.5
            self.found[:] = False
            self.found[moved] = True
        self._gray = gray


def follow(frames: np.ndarray, points: np.ndarray, config: FlowConfig | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Points of the first frame followed through all frames.

    Args:
        frames: uint8 [T, H, W, 3] RGB, or [T, H, W] grey.
        points: [P, 2] pixels, (0, 0) the corner of the top-left pixel.

    Returns:
        Tracks, float32 [T, P, 2], and whether each point is still followed, bool [T, P].
    """
    tracker = PointTracker(frames[0], points, config)
    tracks, found = [tracker.points.copy()], [tracker.found.copy()]
    for frame in frames[1:]:
        tracker.update(frame)
        tracks.append(tracker.points.copy())
        found.append(tracker.found.copy())
    return np.stack(tracks), np.stack(found)


def change_of_appearance(frames: np.ndarray, tracks: np.ndarray) -> np.ndarray:
    """How different the picture around each point is from the picture around it in the first frame.

    Args:
        frames: uint8 [T, H, W, 3] RGB, or [T, H, W] grey.
        tracks: [T, P, 2] pixels; outside of the image the nearest pixels count.

    Returns:
        float32 [T, P], mean difference of 5 x 5 pixels in grey levels.
    """
    grays = [_gray(frame) for frame in frames]
    start = _patches(grays[0], tracks[0])
    return np.stack([_difference(start, _patches(*at)) for at in zip(grays, tracks, strict=True)])


def _patches(gray: np.ndarray, points: np.ndarray) -> np.ndarray:
    """5 x 5 pixels around each point, float32 [P, 5, 5]."""
    reach = np.arange(-2, 3)
    columns, rows = np.floor(points).astype(int).T
    height, width = gray.shape
    rows = np.clip(rows[:, None] + reach, 0, height - 1)
    columns = np.clip(columns[:, None] + reach, 0, width - 1)
    return gray[rows[:, :, None], columns[:, None, :]].astype(np.float32)


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.abs(first - second).mean(axis=(1, 2))


def _scale(size: tuple[int, int]) -> float:
    return max(1.0, max(size) / 128)


def _gray(frame: np.ndarray) -> np.ndarray:
    return frame if frame.ndim == 2 else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
