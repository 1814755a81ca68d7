"""Past tracks as people have them, in pixels with gaps, and as TrajLoom's networks take them; and back.

TrajLoom counts pixels from the centre of the first one, which is (0.5, 0.5) here, and normalises them by 2 x / width - 1.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trajforecast_model.inference.past import at_steps, check_frames
from trajforecast_model.tracks.grid import denormalise, normalise, rescale
from trajforecast_model.tracks.history import History
from trajforecast_model.tracks.optical_flow import follow
from trajforecast_model.trajloom.checkpoint import TrajloomConfig

_FIRST_CENTRE = 0.5
_INSIDE_MARGIN = 1e-3  # that clipped positions keep from the last pixel's centre

Tracker = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # see `PointTracker.track` in data/labelers


@dataclass(frozen=True)
class Past:
    """The past of one view, checked."""

    tracks: np.ndarray  # float32 [frames, rows, columns, 2], pixels of the view's image, no gaps
    visible: np.ndarray | None  # bool [frames, rows, columns], None where it is not told
    image_size: tuple[int, int]  # height, width
    picture: np.ndarray | None = None  # RGB uint8 [height, width, 3] of the present; None where there are tracks alone


def query_points(config: TrajloomConfig, image_size: tuple[int, int]) -> np.ndarray:
    """Where tracks are in the frame of `config.anchor`: one point a cell, float32 [rows, columns, 2]."""
    rows, columns = config.grid
    side = config.vae.patch_size
    x, y = np.meshgrid(side * np.arange(columns), side * np.arange(rows))
    points = np.stack([x, y], axis=-1) + np.array(config.point) + _FIRST_CENTRE
    return rescale(points, config.image_size, image_size).astype(np.float32)


def point_in_cell(
    first_point: np.ndarray, image_size: tuple[int, int], model_size: tuple[int, int]
) -> tuple[float, float]:
    """(x, y) pixels of the model's picture from a cell's first pixel to the first point, [2] pixels of an image."""
    x, y = (rescale(first_point, image_size, model_size) - _FIRST_CENTRE).tolist()
    return x, y


def checked_past(
    view: str, tracks: np.ndarray, visible: np.ndarray | None, image_size: tuple[int, int], config: TrajloomConfig
) -> Past:
    """Tracks [frames, rows, columns, 2] in pixels, NaN only where `visible` [frames, rows, columns] is false.

    Raises:
        ValueError: for another shape, saying what came and what was wanted; for gaps where a point is visible.
    """
    tracks = np.asarray(tracks, dtype=np.float32)
    wanted = (config.history, *config.grid, 2)
    if tracks.shape != wanted:
        raise ValueError(
            f"history of view {view!r}: got tracks {list(tracks.shape)}, expected {list(wanted)}: (x, y) of "
            f"{config.grid[0]} x {config.grid[1]} points in {config.history} frames, the present one last"
        )
    height, width = _checked_size(view, image_size)
    finite = np.isfinite(tracks).all(axis=-1)
    if visible is not None:
        visible = np.asarray(visible)
        if visible.shape != wanted[:-1]:
            raise ValueError(
                f"history of view {view!r}: got visibility {list(visible.shape)}, expected {list(wanted[:-1])}"
            )
        visible = visible > 0.5
    gaps = ~finite if visible is None else visible & ~finite
    if gaps.any():
        said = "no visibility says so" if visible is None else "they are marked visible"
        raise ValueError(
            f"history of view {view!r}: {gaps.sum()} positions are not finite and {said}; mark them not visible"
        )
    if visible is not None:
        pixels = rescale(tracks, (height, width), config.image_size) - _FIRST_CENTRE
        visible = visible & _inside(pixels, config.image_size)
    start = query_points(config, (height, width))
    return Past(tracks if finite.all() else _without_gaps(tracks, finite, start), visible, (height, width))


def followed_past(view: str, video: np.ndarray, config: TrajloomConfig, track: Tracker | None = None) -> Past:
    """The past of a video uint8 [frames, height, width, 3]: its points followed from the frame of `config.anchor`.

    Args:
        track: follows points [N, 2] of a video's first frame; by default pyramidal Lucas-Kanade, whose lost points stay where
            they were lost and count as not visible.

    Raises:
        ValueError: for another number of frames, or what is no video.
    """
    if not isinstance(video, np.ndarray) or video.dtype != np.uint8 or video.ndim != 4 or video.shape[-1] != 3:
        came = f"{video.dtype} {list(video.shape)}" if isinstance(video, np.ndarray) else type(video).__name__
        raise ValueError(f"video of view {view!r}: got {came}, expected uint8 [{config.history}, height, width, 3]")
    if len(video) != config.history or 0 in video.shape:
        raise ValueError(
            f"video of view {view!r}: got {len(video)} frames of {video.shape[1]} x {video.shape[2]}, expected "
            f"{config.history}, the present one last"
        )
    size = video.shape[1:3]
    way = 1 if config.anchor == "first" else -1  # points of the present are followed back
    tracks, visible = (track or follow)(np.ascontiguousarray(video[::way]), query_points(config, size).reshape(-1, 2))
    tracks, visible = tracks[::way], visible[::way]
    shape = (config.history, *config.grid)
    past = checked_past(view, tracks.reshape(*shape, 2), visible.reshape(shape), size, config)
    return dataclasses.replace(past, picture=video[-1])


def given_past(view: str, history: History, image: np.ndarray, config: TrajloomConfig) -> Past:
    """The past as `Forecaster.predict` is given it: [1, frames, rows, columns, 2] pixels of the picture.

    Raises:
        ValueError: as `checked_past`.
    """
    tracks, visible = (np.asarray(part) for part in history)
    if tracks.ndim != 5 or len(tracks) != 1 or visible.shape != tracks.shape[:-1]:
        raise ValueError(
            f"history_tracks of view {view!r}: got {list(tracks.shape)} and what is seen of it {list(visible.shape)}, "
            f"expected {[1, config.history, *config.grid, 2]} and the same without the last axis"
        )
    return dataclasses.replace(checked_past(view, tracks[0], visible[0], image.shape[:2], config), picture=image)


def pictured_past(
    view: str, image: np.ndarray, frames: np.ndarray | None, stamps: np.ndarray | None, config: TrajloomConfig
) -> Past:
    """The past of a picture and those before it, its points followed through them.

    Args:
        frames: uint8 [n, height, width, 3], oldest first; the newest `config.history` - 1 count.
        stamps: [n] seconds since the picture, where they are not `config.dt` apart.

    Raises:
        ValueError: where there are too few, or a step has none.
    """
    before = config.history - 1
    wanted = (
        f"expected the {before} pictures before the present one, {[before, *image.shape]}: TrajLoom forecasts from the past "
        "alone"
    )
    if frames is None:
        raise ValueError(f"history of view {view!r}: got none, {wanted}")
    check_frames(view, frames, image)
    if stamps is not None:
        frames, there = at_steps(frames, stamps, config.dt, before, view)
        if not there.all():
            raise ValueError(
                f"history of view {view!r}: there are pictures for {there.sum()} of {before} steps, {config.dt:g} s apart; "
                f"{wanted}"
            )
    if len(frames) < before:
        raise ValueError(f"history of view {view!r}: got {list(frames.shape)}, {wanted}")
    return followed_past(view, np.concatenate([frames[-before:], image[None]]), config)


def resting_past(config: TrajloomConfig) -> Past:
    """One in which nothing moves, and nothing is to be seen."""
    points = query_points(config, config.image_size)
    black = np.zeros((*config.image_size, 3), np.uint8)
    return Past(np.repeat(points[None], config.history, axis=0), None, config.image_size, black)


def normalised_past(past: Past, config: TrajloomConfig) -> Tensor:
    """float32 [frames, 2, rows, columns], as the VAE takes it."""
    return torch.from_numpy(normalised(past.tracks, past.image_size, config.image_size)).movedim(-1, 1)


def normalised(tracks, image_size: tuple[int, int], model_size: tuple[int, int]):
    """Pixels [..., 2] of an image of `image_size` (height, width) to TrajLoom's coordinates; numpy or torch."""
    return normalise(rescale(tracks, image_size, model_size) - _FIRST_CENTRE, model_size)


def in_pixels(tracks, image_size: tuple[int, int], model_size: tuple[int, int]):
    """TrajLoom's coordinates [..., 2] to pixels of an image of `image_size` (height, width); undoes `normalised`."""
    return rescale(denormalise(tracks, model_size) + _FIRST_CENTRE, model_size, image_size)


def future_in_pixels(tracks: Tensor, image_size: tuple[int, int], config: TrajloomConfig) -> tuple[Tensor, Tensor]:
    """The VAE's tracks [k, frames, 2, rows, columns] in pixels of an image, and whether they are inside.

    Positions outside are moved to the border, as the official code does.

    Returns:
        float32 [k, frames, rows, columns, 2] and bool [k, frames, rows, columns].
    """
    height, width = config.image_size
    size = tracks.new_tensor([width, height])
    pixels = (tracks.movedim(2, -1).clamp(-1, 1) + 1) * size / 2
    inside = _inside(pixels, config.image_size)
    pixels = pixels.clamp(min=0).minimum(size - 1 - _INSIDE_MARGIN)
    return rescale(pixels + _FIRST_CENTRE, config.image_size, image_size), inside


def _inside(pixels, image_size: tuple[int, int]):
    """Whether positions [..., 2], counted from the first pixel's centre, lie between the outermost centres."""
    height, width = image_size
    x, y = pixels[..., 0], pixels[..., 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _without_gaps(tracks: np.ndarray, finite: np.ndarray, start: np.ndarray) -> np.ndarray:
    """A point without a position is where it was last, before its first one where that is, and at its start without any."""
    frames = np.arange(len(tracks))[:, None, None]
    last = np.maximum.accumulate(np.where(finite, frames, -1), axis=0)
    first = np.where(finite.any(axis=0), finite.argmax(axis=0), -1)
    source = np.where(last >= 0, last, first)  # [frames, rows, columns]
    filled = np.take_along_axis(tracks, np.maximum(source, 0)[..., None], axis=0)
    return np.where((source >= 0)[..., None], filled, start)


def _checked_size(view: str, size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or not all(isinstance(side, (int, np.integer)) and side > 0 for side in size):
        raise ValueError(f"image size of view {view!r}: got {size!r}, expected (height, width) in pixels")
    return int(size[0]), int(size[1])
