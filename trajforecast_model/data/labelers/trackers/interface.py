"""What a point tracker is: it follows points of a video's first frame through the others."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class TrackerOptions:
    """Where a tracker finds what is not ours to ship. `lucas_kanade` needs none of it."""

    checkout: Path | None = None  # folder of the tracker's own source; None where its package is installed
    weights: Path | None = None  # the tracker's released weights, a file on this machine
    device: str = "cpu"


class PointTracker(Protocol):
    """Made once in each worker process, by `registry.make_point_tracker`."""

    def track(self, video: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Follows points of the first frame.

        Args:
            video: uint8 [T, H, W, 3], RGB.
            points: float32 [N, 2], pixels of frame 0, x right and y down, (0, 0) the corner of the top-left pixel.

        Returns:
            tracks float32 [T, N, 2] in the same pixels, equal to `points` at t = 0, and visible bool [T, N]. A track
            goes on where its point is not visible, as the tracker guesses it.

        Raises:
            ValueError: for a video or points of another shape or type.
        """


def check_input(video: np.ndarray, points: np.ndarray) -> None:
    """Raises ValueError where `video` or `points` is not what `PointTracker.track` takes."""
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3 or not video.size:
        raise ValueError(f"video: expected uint8 [T, H, W, 3] of a frame or more, got {video.dtype} {video.shape}")
    if points.ndim != 2 or points.shape[-1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"points: expected finite pixels [N, 2], got {points.dtype} {points.shape}")
