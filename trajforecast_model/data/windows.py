"""What a window holds, and which frames of a demo make which one."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Anchor = Literal["present", "first"]


@dataclass(frozen=True)
class WindowLayout:
    """What is asked of the windows of a dataset.

    anchor: in which frame a window's points form the grid: the present one, or the first one of its history (TrajLoom),
    from which they are followed forward. The two differ where there is a history alone.
    """

    num_frames: int = 16  # the present one included
    grid: tuple[int, int] = (64, 64)  # rows, columns of query points
    history: int = 0  # frames before the present one, for which the window tells where its points were
    history_pictures: bool = False  # also what they looked like
    anchor: Anchor = "present"


def check_layout(layout: WindowLayout, image_size: tuple[int, int]) -> None:
    """Raises ValueError, in the words of the command line, for a layout that no images of (height, width) can have."""
    if layout.num_frames < 2:
        raise ValueError(f"--frames {layout.num_frames}: expected 2 or more, the present one and one that follows")
    if layout.history < 0:
        raise ValueError(f"--history {layout.history}: expected a number of past frames, 0 for none")
    if layout.history_pictures and not layout.history:
        raise ValueError("--history-pictures: windows have no history; give --history FRAMES")
    if min(image_size) < 1:
        raise ValueError(f"--image-size {_by(image_size)}: expected a height and a width of at least 1 pixel")
    uneven = [points < 1 or side % points for points, side in zip(layout.grid, image_size, strict=True)]
    if any(uneven):
        # Every query point is then the centre of a pixel, under which depth and body are known exactly.
        fitting = tuple(_nearest_divisor(side, points) for side, points in zip(image_size, layout.grid, strict=True))
        raise ValueError(
            f"--grid {_by(layout.grid)}: its rows and columns must divide the height and width of --image-size "
            f"{_by(image_size)}; give --grid {_by(fitting)}, or another image size"
        )


def _nearest_divisor(side: int, wanted: int) -> int:
    divisors = (number for number in range(1, side + 1) if side % number == 0)
    return min(divisors, key=lambda number: abs(number - wanted))


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def window_starts(num_frames: int, stride: int) -> range:
    """Every `stride`-th frame but the last, after which nothing moves."""
    return range(0, max(1, num_frames - 1), stride)


def window_frames(start: int, num_frames: int, window: int) -> tuple[list[int], int]:
    """The frames of a window, the demo's last one repeated where it runs out (ATM), and how many are real."""
    frames = [min(start + step, num_frames - 1) for step in range(window)]
    return frames, min(window, num_frames - start)


def history_frames(start: int, length: int, first: int = 0) -> tuple[list[int], int]:
    """The `length` frames before a window, oldest first, the demo's first one repeated before it begins, and how many of
    them are real.

    Args:
        first: the demo's first frame that there is.
    """
    return [max(first, frame) for frame in range(start - length, start)], min(length, start - first)


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


def frames_between(start: int, previous: int | None, length: int, first: int = 0) -> range:
    """Of a window's history, the frames that are not the history or the present of the window before it as well.

    Args:
        previous: where the view's previous window starts; None for its first one.
        length: frames of history.
        first: the demo's first frame that there is.
    """
    return range(max(start - length, first if previous is None else previous + 1), start)
