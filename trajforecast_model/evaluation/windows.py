"""Which windows and which of their points the LIBERO protocol evaluates, the same ones in every run."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from trajforecast_model.data.shards import DatasetInfo, ShardDataset, Window
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.history import History, newest
from trajforecast_model.tracks.motion import PROTOCOL_IMAGE_SIZE, moving_points

QUERY_POINTS = 32


@dataclass(frozen=True)
class MovingWindow:
    """A window whose scene moves."""

    dataset: ShardDataset
    index: int  # in the dataset
    window: Window
    truth: np.ndarray  # [T, H, W, 2], pixels at PROTOCOL_IMAGE_SIZE
    moving: np.ndarray  # int [M], points of the flattened grid
    drawn: np.ndarray  # int [up to 32], some of them

    def images(self) -> dict[str, np.ndarray]:
        """What every view sees at this moment, this one included: uint8 [H_image, W_image, 3] each."""
        return self.dataset.images_at(self.index)

    @property
    def drawn_truth(self) -> np.ndarray:
        """[T, P, 2], pixels at PROTOCOL_IMAGE_SIZE."""
        return self.truth.reshape(len(self.truth), -1, 2)[:, self.drawn]

    @property
    def moving_truth(self) -> np.ndarray:
        """[T, M, 2], pixels at PROTOCOL_IMAGE_SIZE."""
        return self.truth.reshape(len(self.truth), -1, 2)[:, self.moving]


def check_max_windows(max_windows: int | None) -> None:
    """Raises ValueError for a number of windows a view that `moving_windows` cannot draw."""
    if max_windows is not None and max_windows < 1:
        raise ValueError(f"max-windows: got {max_windows}, expected at least 1")


def moving_windows(
    dataset: ShardDataset, max_windows: int | None, skipped: Callable[[], None]
) -> Iterator[MovingWindow]:
    """The windows of the protocol: all of them, or `max_windows` a view drawn at random once and for all.

    Args:
        skipped: called for every window in which nothing moves.
    """
    accepted = dict.fromkeys(dataset.info.views, 0)
    for index in visiting_order(dataset, shuffled=max_windows is not None):
        view = str(dataset.rows.view[index])
        if max_windows is not None and accepted[view] == max_windows:
            continue
        window = dataset[index]
        truth = rescale(window.tracks, dataset.info.image_size, PROTOCOL_IMAGE_SIZE)
        moving = np.flatnonzero(moving_points(truth))
        if not len(moving):
            skipped()
            continue
        accepted[view] += 1
        yield MovingWindow(dataset, index, window, truth, moving, draw_query_points(moving, window))


def check_shown_history(frames: int | None, data: DatasetInfo, takes_history: bool, model: str) -> None:
    """Raises ValueError for a number of past frames that the data has not, or that the model would not look at."""
    if frames is None:
        return
    if not 0 <= frames <= data.history_frames:
        raise ValueError(
            f"history: got {frames}, but the data has {data.history_frames} frames before a window; prepare it with more"
        )
    if frames and not takes_history:
        raise ValueError(f"history: got {frames}, but {model} looks at no past; leave --history out")


def with_newest_history(window: Window, frames: int | None) -> Window:
    """The window as a model sees it that is shown its newest `frames` past frames alone; None: all of them."""
    if frames is None or window.history_visibility is None:
        return window
    history = History(window.history_tracks[None], window.history_visibility[None])
    return replace(window, history_visibility=newest(history, frames).visible[0])


def draw_query_points(moving: np.ndarray, window: Window) -> np.ndarray:
    """32 of the moving points (all of them where there are fewer), the same ones for this window in every run.

    Args:
        moving: int [M] points.

    Returns:
        int [up to 32], ascending.
    """
    if len(moving) <= QUERY_POINTS:
        return moving
    generator = np.random.default_rng(stable_number(window))
    return np.sort(generator.choice(moving, QUERY_POINTS, replace=False))


def stable_number(window: Window, *more) -> int:
    """A number below 2^63 that depends on nothing but the window's name and `more`."""
    digest = _stable_hash(window.task, window.demo, window.start, window.view, *more)
    return int.from_bytes(digest[:8], "big") >> 1


def visiting_order(dataset: ShardDataset, shuffled: bool) -> list[int]:
    """The indices of all windows; shuffled by their names, so that a subset is random and yet the same on every machine."""
    if not shuffled:
        return list(range(len(dataset)))
    rows = dataset.rows
    return sorted(
        range(len(dataset)),
        key=lambda i: _stable_hash(rows.task[i], rows.demo[i], rows.start[i], rows.view[i], "order"),
    )


def _stable_hash(*parts) -> bytes:
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
