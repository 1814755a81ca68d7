"""A phase of a skill: a place and a pose for the gripper to go to, and when that is done."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Phase:
    """Go to `target` [3] in the pose `rotation` [3, 3] with the gripper command `gripper`.

    Done within `tolerance` metres, after `max_steps`, or when `until` says so.
    """

    kind: str  # "move", "push" (a move that nothing disturbs), "narrow", "close", "release" or "pause"
    target: np.ndarray
    rotation: np.ndarray
    gripper: float
    tolerance: float
    max_steps: int
    until: Callable[[], bool] | None = None
    speed: float = 1.0
