"""What a model with history is told of the past: its grid followed back through earlier frames, or tracks that are given."""

import numpy as np
import torch

from trajforecast_model.images import check_image, resize_images
from trajforecast_model.networks.history_encoder import HistoryConfig, PastTracks
from trajforecast_model.tracks.grid import normalise, query_points
from trajforecast_model.tracks.history import History
from trajforecast_model.tracks.optical_flow import follow


def followed_back(image: np.ndarray, frames: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> History:
    """The grid of `image` followed back through the frames before it, by OpenCV's Lucas-Kanade.

    Args:
        image: uint8 [h, w, 3], the present.
        frames: uint8 [n, h, w, 3], before it, oldest first.
        size: (height, width) at which they are looked at.

    Returns:
        A history of one view, [1, n, ...], pixels at `size`. A point that is lost is not seen in all earlier frames.
    """
    backwards = resize_images([image, *frames[::-1]], size)
    tracks, found = follow(backwards, query_points(grid, size).reshape(-1, 2))
    shape = (1, len(frames), *grid)
    return History(tracks[:0:-1].reshape(*shape, 2), found[:0:-1].reshape(shape))


def check_views_of_past(images: dict, history: dict, stamps: dict, tracks: dict) -> None:
    """Raises ValueError for a past of a view without an image, stamps of one without frames, and a past given twice."""
    for name, given, among in (
        ("history", history, images), ("history_tracks", tracks, images), ("history_stamps", stamps, history),
    ):  # fmt: skip
        if unknown := sorted(given.keys() - among.keys()):
            wanted = "views that have an image" if among is images else "views that have a history"
            raise ValueError(f"{name}: got {unknown}, expected only {wanted}, {sorted(among)}")
    if both := sorted(history.keys() & tracks.keys()):
        raise ValueError(f"history and history_tracks: both are given for {both}; give one of them")


def check_frames(view: str, frames: np.ndarray, image: np.ndarray) -> None:
    """Raises ValueError for a history of frames that is none of `image`'s camera, or of fewer frames than two."""
    if not isinstance(frames, np.ndarray) or frames.ndim != 4:
        got = f"{frames.dtype} {list(frames.shape)}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise ValueError(f"history {view!r}: expected uint8 [n, H, W, 3], got {got}")
    if len(frames) < 2:
        raise ValueError(f"history {view!r}: got {len(frames)} frames, expected two or more; leave it out for no past")
    check_image(frames[0], f"history {view}")
    if frames.shape[1:] != image.shape:
        raise ValueError(
            f"history {view!r}: its frames are {list(frames.shape[1:3])} (height, width), the picture {list(image.shape[:2])}; "
            "give both as the camera took them"
        )


def at_steps(frames: np.ndarray, stamps, dt: float, count: int, view: str) -> tuple[np.ndarray, np.ndarray]:
    """The frames nearest to each of the last `count` steps of `dt` seconds before the picture, and which steps have one.

    Args:
        stamps: [n] seconds since the picture, so below zero; increasing.

    Returns:
        frames uint8 [count, H, W, 3], oldest first, and bool [count]; a step has a frame if one is within half a step.

    Raises:
        ValueError: for stamps of another number, order or sign.
    """
    stamps = np.asarray(stamps, np.float64)
    if stamps.shape != (len(frames),) or not np.isfinite(stamps).all():
        raise ValueError(
            f"history_stamps {view!r}: expected {len(frames)} numbers, one a frame, got {list(stamps.shape)}"
        )
    if not (np.diff(stamps) > 0).all() or stamps[-1] >= 0:
        raise ValueError(
            f"history_stamps {view!r}: expected increasing seconds before the picture, all below 0, got {stamps[0]:g} to "
            f"{stamps[-1]:g}"
        )
    wanted = -dt * np.arange(count, 0, -1)
    nearest = np.abs(stamps - wanted[:, None]).argmin(axis=1)
    return frames[nearest], np.abs(stamps[nearest] - wanted) <= dt / 2


def check_history(history: History, batch: int, grid: tuple[int, int]) -> None:
    """Raises ValueError for tracks of another shape, and for visible points that are nowhere."""
    tracks, visible = history
    if (
        tracks.ndim != 5
        or tracks.shape[:1] + tracks.shape[2:] != (batch, *grid, 2)
        or visible.shape != tracks.shape[:-1]
    ):
        raise ValueError(
            f"history: expected tracks [{batch}, frames, {grid[0]}, {grid[1]}, 2] and visibility of the same points, got "
            f"{list(tracks.shape)} and {list(visible.shape)}"
        )
    if visible.dtype != bool:
        raise ValueError(f"history: expected visibility as bool, got {visible.dtype}")
    if not np.isfinite(tracks[visible]).all():
        raise ValueError("history: points that are marked visible have positions that are not finite numbers")


def past_tracks(history: History, size: tuple[int, int], config: HistoryConfig) -> PastTracks:
    """The newest frames of a history in pixels of images of `size`, as the denoiser takes them; what lacks is not seen."""
    tracks, visible = (part[:, -config.frames :] for part in history)
    lacking = config.frames - visible.shape[1]
    points = normalise(query_points(config.grid, size), size)
    offsets = np.where(visible[..., None], normalise(tracks, size) - points, 0).astype(np.float32)
    offsets = np.pad(offsets, ((0, 0), (lacking, 0), *((0, 0),) * 3))
    visible = np.pad(visible, ((0, 0), (lacking, 0), (0, 0), (0, 0)))
    return PastTracks(torch.from_numpy(offsets).movedim(-1, 2), torch.from_numpy(visible))


def joined(pasts: list[PastTracks]) -> PastTracks:
    """Of several images."""
    return PastTracks(torch.cat([past.offsets for past in pasts]), torch.cat([past.visible for past in pasts]))
