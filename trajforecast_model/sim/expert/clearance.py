"""Whether the open hand, coming straight down, has room between things: its fingers and its palm as boxes."""

import numpy as np

_FINGER_INSIDE, _FINGER_OUTSIDE = 0.036, 0.058  # metres from the middle, along the closing axis
_FINGER_HALF_WIDTH = 0.013
_FINGERTIP_BELOW = 0.014  # the fingers end so far below the grip site
_PALM_HALF_LENGTH, _PALM_HALF_WIDTH = 0.105, 0.04
_PALM_ABOVE, _PALM_TOP = 0.045, 0.25


def hits(points: np.ndarray, place: np.ndarray, across: np.ndarray, with_palm: bool = True) -> int:
    """How many points [N, 3] lie in the hand whose grip site is at `place` [3].

    Args:
        across: unit direction [2] on the ground along which the fingers close.
    """
    relative = points - place
    beside = np.abs(relative[:, :2] @ across)
    along = np.abs(relative[:, :2] @ np.array([-across[1], across[0]]))
    above = relative[:, 2]
    fingers = (
        (beside > _FINGER_INSIDE)
        & (beside < _FINGER_OUTSIDE)
        & (along < _FINGER_HALF_WIDTH)
        & (above > -_FINGERTIP_BELOW)
        & (above < _PALM_TOP)
    )
    palm = (beside < _PALM_HALF_LENGTH) & (along < _PALM_HALF_WIDTH) & (above > _PALM_ABOVE) & (above < _PALM_TOP)
    return int(np.count_nonzero(fingers | palm if with_palm else fingers))


def highest_between(points: np.ndarray, start: np.ndarray, end: np.ndarray, margin: float) -> float:
    """The height of the highest of points [N, 3] within `margin` metres of the way from start to end; -inf without any."""
    way = end[:2] - start[:2]
    relative = points[:, :2] - start[:2]
    share = np.clip(relative @ way / max(way @ way, 1e-12), 0, 1)
    near = np.linalg.norm(relative - share[:, None] * way, axis=1) < margin
    return points[near, 2].max(initial=-np.inf)
