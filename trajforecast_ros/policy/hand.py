"""How a forecast moves the hand in the world, as far as the cameras tell it.

known                            told
the depth of a view's points     where the hand goes and how it turns
two views, from two places       where it goes, and how it turns about both lines of sight
the wrist view                   whether the fingers open or close
"""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.tracks.rigid.pinhole import Pinhole
from trajforecast_model.tracks.rigid.rigid_motion import RigidMotion, SeenPoints, rigid_motion
from trajforecast_ros.messages import SummaryArrays

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


@dataclass(frozen=True)
class SeenView:
    camera: Pinhole
    depth: DepthImage | None = None


def hand_motion(
    forecast: SummaryArrays, views: dict[str, SeenView], gripper: np.ndarray, start: int, end: int, radius: float
) -> RigidMotion | None:
    """How the medoid moves the hand between two steps.

    Args:
        views: of cameras that stand still, by name.
        gripper: [3], where it is at step `start`, metres in the world.
        radius: of the region around it, in widths of the image.

    Returns:
        None where it cannot be told: neither depth nor two views, or too few points.
    """
    seen = {
        name: _points(forecast, name, view, gripper, start, end, radius)
        for name, view in views.items()
        if name in forecast.views
    }
    with_depth = [points for name, points in seen.items() if views[name].depth is not None]
    motion = rigid_motion(with_depth, gripper) if with_depth else None
    if motion is not None or len(seen) < 2:
        return motion
    sights = np.array([gripper - of.camera.position for of in seen.values()])
    sights /= np.linalg.norm(sights, axis=1, keepdims=True)
    if np.linalg.norm(np.cross(sights[0], sights[1:]), axis=-1).max() < _APART:
        return None
    flat = {name: SeenView(view.camera) for name, view in views.items()}
    return rigid_motion(
        [_points(forecast, name, flat[name], gripper, start, end, radius) for name in seen], gripper, axes=sights[:2]
    )


def _points(
    forecast: SummaryArrays, name: str, view: SeenView, gripper: np.ndarray, start: int, end: int, radius: float
) -> SeenPoints:
    """Those of the hand: near it, in depth too where that is known (else all are as deep as the gripper), that move."""
    index = forecast.view_index(name)
    now, then = forecast.min[index, [start, end]].reshape(2, -1, 2).astype(np.float64)
    pixel, depth = view.camera.project(gripper)
    pixels = radius * forecast.image_sizes[index][1]
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


def opening(
    forecast: SummaryArrays, view: str, places: np.ndarray, start: int, end: int, radius: float
) -> float | None:
    """How much farther apart the fingers are at step `end`, in widths of the wrist view's image.

    Args:
        places: [2, 2], where the fingertips are at step `start`, in widths and heights of the image.
        radius: around each, in widths.

    Returns:
        None where the forecast lacks the view, or no points are there.
    """
    if view not in forecast.views:
        return None
    index = forecast.view_index(view)
    height, width = forecast.image_sizes[index]
    now, then = forecast.min[index, [start, end]].reshape(2, -1, 2)
    tips = []
    for place in np.asarray(places) * (width, height):
        near = np.linalg.norm(now - place, axis=-1) < radius * width
        if not near.any():
            return None
        tips.append([np.median(points[near], axis=0) for points in (now, then)])
    (before, after) = (np.linalg.norm(tips[1][step] - tips[0][step]) for step in (0, 1))
    return float(after - before) / width
