"""What trackers of other projects have in common: frames of another size going in, tracks from the first one coming out."""

import numpy as np

from trajforecast_model.images import resize_image


def resize_video(video: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [T, H, W, 3] to (height, width) `size`, aspect not kept."""
    return np.stack([resize_image(frame, size) for frame in video])


def from_first_frame(points: np.ndarray, tracks: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tracks [T, N, 2] and visible [T, N] that start at the queried points, which are seen by definition."""
    tracks, visible = tracks.astype(np.float32), visible.astype(bool)
    tracks[0], visible[0] = points, True
    return tracks, visible
