"""Skills of the scripted expert for drawers: pulled open by their handle, pushed home by it."""

from functools import partial

import numpy as np

from trajforecast_model.sim.environment import CLOSE_GRIPPER, HOLD_GRIPPER, OPEN_GRIPPER, Goal, TaskEnvironment
from trajforecast_model.sim.expert.arm import Arm
from trajforecast_model.sim.expert.phases import Phase
from trajforecast_model.sim.expert.skill import Skill
from trajforecast_model.sim.expert.surfaces import visible_points

_GAP = 0.07  # metres between the fingers and the front of a drawer before they push or take hold
_PUSHING_LEAN, _PULLING_LEAN = 0.4, 0.9  # radians that the fingers lean forward, so that the hand stays clear
_TOO_FAR = 0.04  # metres beyond what is needed, to which a drawer is moved unless it is there before
_ABOVE = 0.14
_HANDLE_DEPTH = 0.018
_OPEN = 0.15  # metres
_HALF_CLOSED_STEPS = 4  # of the eight in which the gripper closes: between handle and drawer there is little room


class CloseDrawer(Skill):
    """Pushes the front of a drawer home with closed fingers."""

    def __init__(self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator):
        super().__init__(arm, rng)
        inwards, shift, points = _drawer(environment, goal)
        depth = points @ inwards
        front = points[depth < depth.min() + 0.004].mean(axis=0)
        rotation = arm.leaning(inwards, _PUSHING_LEAN, closing_along=False)
        before = front - _GAP * inwards + [0, 0, rng.uniform(0, 0.01)]
        home = front + (shift + _TOO_FAR) * inwards
        above = arm.high_over(before, _ABOVE)

        closed = partial(environment.reached, goal)
        self.begin(
            [
                Phase("move", above, rotation, CLOSE_GRIPPER, 0.02, 80),
                Phase("move", before, rotation, CLOSE_GRIPPER, 0.01, 60),
                Phase("push", home, rotation, CLOSE_GRIPPER, 0.008, 90, until=closed),
                Phase("move", before, rotation, CLOSE_GRIPPER, 0.02, 25),
                Phase("move", above, rotation, OPEN_GRIPPER, 0.03, 30),
            ]
        )


class OpenDrawer(Skill):
    """Takes the handle's bar between the fingers and pulls."""

    def __init__(self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator):
        super().__init__(arm, rng)
        inwards, shift, points = _drawer(environment, goal)
        depth = points @ inwards
        bar = points[depth < depth.min() + _HANDLE_DEPTH]
        handle = (bar.min(axis=0) + bar.max(axis=0)) / 2
        handle = handle + rng.uniform(-0.015, 0.015) * np.array([-inwards[1], inwards[0], 0])
        rotation = arm.leaning(inwards, _PULLING_LEAN, closing_along=True)
        before = handle - _GAP * inwards
        above = arm.high_over(before, _ABOVE)
        pulled = handle - (_OPEN - shift + _TOO_FAR) * inwards

        opened = partial(environment.reached, goal)
        self.begin(
            [
                Phase("move", above, rotation, OPEN_GRIPPER, 0.02, 80),
                Phase("narrow", above, rotation, CLOSE_GRIPPER, 0, _HALF_CLOSED_STEPS),
                Phase("move", before, rotation, HOLD_GRIPPER, 0.01, 60),
                Phase("push", handle, rotation, HOLD_GRIPPER, 0.006, 40),
                Phase("close", handle, rotation, CLOSE_GRIPPER, 0, 20),
                Phase("push", pulled, rotation, CLOSE_GRIPPER, 0.01, 90, until=opened),
                Phase("release", pulled, rotation, OPEN_GRIPPER, 0, 8),
                Phase("push", pulled - _GAP * inwards, rotation, OPEN_GRIPPER, 0.02, 25),
                Phase("move", arm.high_over(pulled - _GAP * inwards, _ABOVE), rotation, OPEN_GRIPPER, 0.03, 30),
            ]
        )


def _drawer(environment: TaskEnvironment, goal: Goal) -> tuple[np.ndarray, float, np.ndarray]:
    """The direction [3] in which it closes, how far it is open, metres, and its surface [N, 3]."""
    model, data = environment.model, environment.data
    joint = environment.joint_of(goal.item)
    position = data.qpos[model.jnt_qposadr[joint]]
    open_end = max(model.jnt_range[joint], key=abs)
    inwards = -data.xaxis[joint] * np.sign(open_end)
    points = visible_points(model, data, model.body(model.jnt_bodyid[joint]).name)
    return inwards, float(position * np.sign(open_end)), points
