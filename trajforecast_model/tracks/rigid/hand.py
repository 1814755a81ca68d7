"""How a forecast moves a hand in the world, as far as the cameras tell it.

known                            told
the depth of a view's points     where the hand goes and how it turns
two views, from two places       where it goes, and how it turns about both lines of sight
the wrist view                   whether the fingers open or close
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trajforecast_model.tracks.rigid.pinhole import Pinhole
from trajforecast_model.tracks.rigid.rigid_motion import RigidMotion, SeenPoints, rigid_motion

_APART = 0.25  # sine of the angle between two lines of sight that are two


@dataclass(frozen=True)
class DepthImage:
    """Depth that is aligned to a view: its camera stands where the view's does, and may have pixels of another size.

    metres: [h, w], NaN where nothing was measured; focal, centre: [2], pixels of this image.
    """

    metres: np.ndarray
    focal: np.ndarray
    centre: np.ndarray

    def at(self, pixels: np.ndarray, camera: Pinhole) -> np.ndarray:
        """Of the view's pixels [..., 2]: [...], NaN outside."""
        place = self.centre + self.focal * (pixels - camera.centre) / camera.focal
        column, row = np.moveaxis(np.floor(np.nan_to_num(place, nan=-1.0)).astype(np.int64), -1, 0)
        height, width = self.metres.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.where(inside, self.metres[row.clip(0, height - 1), column.clip(0, width - 1)], np.nan)


class ViewTracks(NamedTuple):
    """One future of a view: tracks [T, H, W, 2], pixels of an image of this size (height, width)."""

    tracks: np.ndarray
    image_size: tuple[int, int]

    def between(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """The points [N, 2] at both steps."""
        now, then = self.tracks[[start, end]].reshape(2, -1, 2).astype(np.float64)
        return now, then


@dataclass(frozen=True)
class SeenView:
    camera: Pinhole
    depth: DepthImage | None = None


def hand_motion(
    futures: dict[str, ViewTracks], views: dict[str, SeenView], gripper: np.ndarray, start: int, end: int, radius: float
) -> RigidMotion | None:
    """How the hand moves between two steps.

    Args:
        futures, views: by name; the views' cameras stand still.
        gripper: [3], where it is at step `start`, metres in the world.
        radius: of the region around it, in widths of the image.

    Returns:
        None where it cannot be told: neither depth nor two views, or too few points.
    """
    known = [name for name in views if name in futures]
    with_depth = [
        _points(futures[name], views[name], gripper, start, end, radius)
        for name in known
        if views[name].depth is not None
    ]
    motion = rigid_motion(with_depth, gripper) if with_depth else None
    if motion is not None or len(known) < 2:
        return motion
    sights = np.array([gripper - views[name].camera.position for name in known[:2]])
    sights /= np.linalg.norm(sights, axis=1, keepdims=True)
    if np.linalg.norm(np.cross(*sights)) < _APART:
        return None
    flat = [_points(futures[name], SeenView(views[name].camera), gripper, start, end, radius) for name in known[:2]]
    return rigid_motion(flat, gripper, axes=sights)


def gripper_motion(future: ViewTracks, pixel: np.ndarray, start: int, end: int, radius: float) -> np.ndarray:
    """How the gripper moves in a view between two steps, [2] pixels: the median of what moves around it.

    Args:
        pixel: [2], where it is at step `start`.
        radius: of the region around it, in widths of the image.
    """
    now, then = future.between(start, end)
    moving = farthest_half(now, then, np.linalg.norm(now - pixel, axis=-1) < radius * future.image_size[1])
    return np.median((then - now)[moving], axis=0) if moving.any() else np.zeros(2)


def _points(future: ViewTracks, view: SeenView, gripper: np.ndarray, start: int, end: int, radius: float) -> SeenPoints:
    """Those of the hand: near it, in depth too where that is known (else all are as deep as the gripper), that move."""
    now, then = future.between(start, end)
    pixel, depth = view.camera.project(gripper)
    pixels = radius * future.image_size[1]
    if view.depth is not None:
        points = view.camera.lift(now, view.depth.at(now, view.camera))
        near = np.linalg.norm(points - gripper, axis=-1) < pixels / view.camera.focal[0] * depth
    else:
        points = view.camera.lift(now, np.full(len(now), depth))
        near = np.linalg.norm(now - pixel, axis=-1) < pixels
    chosen = farthest_half(now, then, near)
    return SeenPoints(view.camera, points[chosen], then[chosen])


def farthest_half(now: np.ndarray, then: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Of the points [..., 2] that are near, those that go farthest: bool [...]. The others may be what stays there."""
    length = np.linalg.norm(then - now, axis=-1)
    return near & (length >= np.median(length[near])) if near.any() else near


def opening(future: ViewTracks, places: np.ndarray, start: int, end: int, radius: float) -> float | None:
    """How much farther apart the fingers are at step `end`, in widths of the wrist view's image.

    Args:
        places: [2, 2], where the fingertips are at step `start`, in widths and heights of the image.
        radius: around each, in widths.

    Returns:
        None where no points are there.
    """
    height, width = future.image_size
    now, then = future.between(start, end)
    tips = []
    for place in np.asarray(places) * (width, height):
        near = np.linalg.norm(now - place, axis=-1) < radius * width
        if not near.any():
            return None
        tips.append([np.median(points[near], axis=0) for points in (now, then)])
    before, after = (np.linalg.norm(tips[1][step] - tips[0][step]) for step in (0, 1))
    return float(after - before) / width
