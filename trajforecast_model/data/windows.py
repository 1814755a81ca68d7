"""Which frames of a demo make which window."""

import numpy as np


def window_starts(num_frames: int, stride: int) -> range:
    """Every `stride`-th frame but the last, after which nothing moves."""
    return range(0, max(1, num_frames - 1), stride)


def window_frames(start: int, num_frames: int, window: int) -> tuple[list[int], int]:
    """The frames of a window, the demo's last one repeated where it runs out (ATM), and how many are real."""
    frames = [min(start + step, num_frames - 1) for step in range(window)]
    return frames, min(window, num_frames - start)


def history_frames(start: int, length: int) -> tuple[list[int], int]:
    """The `length` frames before a window, oldest first, the demo's first one repeated before it begins, and how many of
    them are real."""
    return [max(0, frame) for frame in range(start - length, start)], min(length, start)


def history_of(tracks: np.ndarray, visible: np.ndarray, num_real: int) -> dict[str, np.ndarray]:
    """The fields of a window that tell its history, of which the newest `num_real` frames were recorded; none if empty.

    Args:
        tracks, visible: [history_frames, H, W, 2] and [history_frames, H, W], oldest first.
    """
    if not len(tracks):
        return {}
    visible = visible.copy()
    visible[: len(visible) - num_real] = False
    return {"history_tracks": tracks, "history_visibility": visible}
