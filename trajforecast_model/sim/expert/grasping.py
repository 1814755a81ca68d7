"""Where and how the gripper should take hold of an object, from the object's true shape.

The gripper comes straight down. It closes across the object's narrowest side, on the rim of what is too wide for it, or
on any other part of it that is thin enough, wherever the hand has room.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from trajforecast_model.sim.expert.clearance import hits

GRIPPER_OPENING = 0.075
FINGERTIP_CLEARANCE = 0.0165  # the fingertips end 19 mm below the grip site and must not press on the floor
_YAWS = np.deg2rad(np.arange(-90, 90, 5))
_COARSE_YAWS = np.deg2rad(np.arange(-90, 90, 15))
_PARTS = 60  # places of the object that are looked at
_HALF_FINGER = 0.008
_DEPTH_ON_PARTS = 0.02  # metres below their top that the fingers close
_UNUSUAL = 0.6  # the cost of a grasp on a part of an object that has others
_OTHER_SIDES = 4  # of a thing that is narrow enough from more than one, looked at besides the narrowest
_WRONG = 10.0  # a cost above that of any sound grasp
_NEAR = 0.02  # metres within which a grasp is the same again


@dataclasses.dataclass(frozen=True)
class Grasp:
    """`position` of the grip site in the world [3], metres; `yaw` from the gripper's first pose, radians.

    `offset` [2] leads from the object's centre to the grasp, `height` from the object's lowest point.
    """

    position: np.ndarray
    yaw: float
    offset: np.ndarray
    height: float


def choose_grasp(
    points: np.ndarray,
    surface: np.ndarray,
    closing_axis: np.ndarray,
    obstacles: np.ndarray,
    rng: np.random.Generator,
    failed: list[Grasp],
    below_top: float = 0.03,
) -> Grasp:
    """The best of a grasp across the whole object, of those on its rim and of others all over it.

    Args:
        points: the object's vertices [N, 3] in the world; `surface`: points [M, 3] spread evenly over it.
        closing_axis: direction [2] on the ground along which the fingers close at yaw 0.
        obstacles: points [K, 3] of all else that the hand could hit.
        rng: breaks ties, so that the same thing is not always taken in the same way.
        failed: grasps that were tried and are not to be tried again.
        below_top: how deep below the object's top the fingers close, metres.
    """
    centre = (points.min(0) + points.max(0))[:2] / 2
    low = points[:, 2].min()
    found = [*_usual_grasps(points, closing_axis, rng, below_top)]
    found += [(cost + _UNUSUAL, place, yaw) for cost, place, yaw in _thin_parts(surface, low, closing_axis, rng)]

    def cost(candidate: tuple[float, np.ndarray, float]) -> float:
        own, place, yaw = candidate
        collisions = hits(obstacles, place, _turned(closing_axis, yaw))
        again = any(np.linalg.norm(place - other.position) < _NEAR and abs(yaw - other.yaw) < 0.3 for other in failed)
        return own + min(_WRONG, collisions) + again

    _, place, yaw = min(found, key=cost)
    return Grasp(place, yaw, place[:2] - centre, place[2] - low)


def find_grasp(points: np.ndarray, closing_axis: np.ndarray, rng: np.random.Generator, below_top: float) -> Grasp:
    """The best where nothing stands around; arguments as in `choose_grasp`."""
    return choose_grasp(points, points[:0], closing_axis, points[:0], rng, [], below_top)


def _usual_grasps(
    points: np.ndarray, closing_axis: np.ndarray, rng: np.random.Generator, below_top: float
) -> Iterator[tuple[float, np.ndarray, float]]:
    """Cost, place [3] and yaw: across the narrowest side of what goes into the hand, else all around the rim."""
    low, high = points.min(0), points.max(0)
    height = max(high[2] - below_top, low[2] + FINGERTIP_CLEARANCE)
    slab = points[np.abs(points[:, 2] - (height - 0.008)) < 0.02]
    yaw, width, middle = _narrowest(slab if len(slab) > 10 else points, closing_axis)
    centre = (low + high)[:2] / 2
    if width <= GRIPPER_OPENING:
        yield 0.0, np.array([*middle, height]), yaw
        for other in rng.choice(_YAWS, _OTHER_SIDES, replace=False):
            _, wide, middle = _narrowest(slab if len(slab) > 10 else points, closing_axis, [other])
            if wide < GRIPPER_OPENING - 0.01:
                yield (
                    30 * (wide - width) + 0.15 * abs(other) + rng.uniform(-0.2, 0.2),
                    np.array([*middle, height]),
                    other,
                )
        return
    height = max(high[2] - 0.018, low[2] + FINGERTIP_CLEARANCE)
    yield _WRONG, np.array([*centre, height]), 0.0
    for cost, yaw, middle in _rim(points[points[:, 2] > high[2] - 0.012], centre, closing_axis, rng):
        yield cost, np.array([*middle, height]), yaw


def _thin_parts(
    surface: np.ndarray, low: float, closing_axis: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[float, np.ndarray, float]]:
    """The same where the object goes between the fingers and nothing of it below them."""
    weight = surface.mean(axis=0) if len(surface) else np.zeros(3)
    for part in surface[rng.choice(len(surface), min(_PARTS, len(surface)), replace=False)] if len(surface) else []:
        column = np.linalg.norm(surface[:, :2] - part[:2], axis=1) < 0.012
        top = surface[column, 2].max()
        height = max(top - _DEPTH_ON_PARTS, low + FINGERTIP_CLEARANCE)
        if height > top - 0.004:
            continue
        for yaw in _COARSE_YAWS:
            across = _turned(closing_axis, yaw)
            relative = surface - part
            along = np.abs(relative[:, :2] @ np.array([-across[1], across[0]])) < _HALF_FINGER
            beside = np.sort(relative[along & (surface[:, 2] > height - 0.012)][:, :2] @ across)
            first, last = _unbroken(beside)
            if last < first or beside[last] - beside[first] > GRIPPER_OPENING - 0.008:
                continue
            middle = (beside[first] + beside[last]) / 2
            place = np.array([*(part[:2] + middle * across), height])
            if hits(surface, place, across) > 2:
                continue
            width = beside[last] - beside[first]
            cost = 0.3 * abs(yaw) + 3 * np.linalg.norm(place[:2] - weight[:2]) + 4 * width + rng.uniform(0, 0.3)
            yield cost, place, float(yaw)


def _unbroken(values: np.ndarray) -> tuple[int, int]:
    """First and last of sorted values around zero without a gap in which a finger has room; last < first without any."""
    here = np.searchsorted(values, 0.0)
    breaks = np.flatnonzero(np.diff(values) > 0.015) + 1
    return int(breaks[breaks <= here].max(initial=0)), int(breaks[breaks > here].min(initial=len(values))) - 1


def _narrowest(points: np.ndarray, closing_axis: np.ndarray, yaws=_YAWS) -> tuple[float, float, np.ndarray]:
    """The yaw at which the object is narrowest between the fingers, that width, and the middle [2] of it."""
    best = None
    for yaw in yaws:
        across = _turned(closing_axis, yaw)
        along = np.array([-across[1], across[0]])
        a, b = points[:, :2] @ across, points[:, :2] @ along
        width = np.ptp(a)
        cost = width + 0.01 * abs(yaw)
        if best is None or cost < best[0]:
            best = (cost, yaw, width, across * (a.max() + a.min()) / 2 + along * (b.max() + b.min()) / 2)
    return best[1:]


def _rim(rim: np.ndarray, centre, closing_axis, rng) -> Iterator[tuple[float, float, np.ndarray]]:
    """Cost, yaw and a point [2] on the rim, all around it, where the fingers close across the wall."""
    for angle in np.deg2rad(np.arange(0, 360, 15)):
        outward = np.array([np.cos(angle), np.sin(angle)])
        relative = rim[:, :2] - centre
        near = np.abs(relative @ np.array([-outward[1], outward[0]])) < 0.012
        reach = (relative[near] @ outward).max(initial=0.0)
        if reach < 0.02:
            continue
        yaw = next((yaw for yaw in _YAWS if abs(_turned(closing_axis, yaw) @ outward) > 0.999), None)
        if yaw is not None:
            yield abs(yaw) * 0.5 + rng.uniform(0, 0.3), yaw, centre + outward * (reach - 0.006)


def _turned(axis: np.ndarray, yaw: float) -> np.ndarray:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    turned = np.array([cosine * axis[0] - sine * axis[1], sine * axis[0] + cosine * axis[1]])
    return turned / np.linalg.norm(turned)
