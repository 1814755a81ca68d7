"""Skills of the scripted expert for doors on a hinge, as a microwave's: pulled open by the handle, pushed shut."""

from functools import partial

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from trajforecast_model.sim.environment import CLOSE_GRIPPER, OPEN_GRIPPER, Goal, TaskEnvironment
from trajforecast_model.sim.expert.arm import Arm
from trajforecast_model.sim.expert.phases import Phase
from trajforecast_model.sim.expert.skill import Skill

_ABOVE = 0.14  # metres over the door's top
_GRIP_DEPTH = 0.012  # metres below the handle's upper end
_TOO_FAR = 0.12  # radians beyond what is needed, to which a door is pushed unless it is there before
_PULLED_TOO_FAR = 0.4  # the same where it is pulled, with an arm that then is nearly straight
_ROOM = 0.1  # metres between the hand and a door before it pushes
_PRESSING = 0.02  # metres, nearer than the hand can come
_OPEN = 1.33  # radians
_STEPS = 8


class CloseDoor(Skill):
    """Pushes with the side of the hand, along with the door."""

    def __init__(self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator):
        super().__init__(arm, rng)
        anchor, handle, _, angle = _door(environment, goal)
        arm_of_door = handle - anchor
        share = rng.uniform(0.55, 0.7)

        def pose(turned: float, distance: float) -> tuple[np.ndarray, np.ndarray]:
            along = Rotation.from_rotvec([0, 0, turned]).apply(arm_of_door * [1, 1, 0])
            outwards = np.cross(along, [0, 0, 1]) / np.linalg.norm(along)
            place = anchor + share * along + distance * outwards
            return np.array([*place[:2], handle[2]]), arm.leaning(
                along / np.linalg.norm(along), 0.0, closing_along=True
            )

        closed = partial(environment.reached, goal)
        before, rotation = pose(0.0, _ROOM)
        phases = [
            Phase("move", arm.high_over(before, 2 * _ABOVE), rotation, CLOSE_GRIPPER, 0.03, 80),
            Phase("move", before, rotation, CLOSE_GRIPPER, 0.015, 60),
        ]
        for turned in np.linspace(0, -angle + _TOO_FAR, _STEPS):
            phases.append(Phase("push", *pose(turned, _PRESSING), CLOSE_GRIPPER, 0.03, 20, until=closed))
        last, rotation = pose(-angle, _ROOM)
        phases += [
            Phase("push", pose(-angle + _TOO_FAR, 0.0)[0], rotation, CLOSE_GRIPPER, 0.0, 40, until=closed),
            Phase("move", last, rotation, CLOSE_GRIPPER, 0.02, 20),
            Phase("move", arm.high_over(last, 2 * _ABOVE), rotation, OPEN_GRIPPER, 0.03, 30),
        ]
        self.begin(phases)


class OpenDoor(Skill):
    """Takes the upright handle from above and goes with it around the hinge."""

    def __init__(self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator):
        super().__init__(arm, rng)
        anchor, handle, half_length, angle = _door(environment, goal)
        model = environment.model
        open_end = max(model.jnt_range[environment.joint_of(goal.item)], key=abs)
        grip = handle + np.array([0, 0, half_length - _GRIP_DEPTH])
        along = (handle - anchor) * [1, 1, 0]
        first = arm.leaning(along / np.linalg.norm(along), 0.0, closing_along=True)
        wanted = (_OPEN + _PULLED_TOO_FAR) * np.sign(open_end) - angle

        def pose(turned: float) -> tuple[np.ndarray, np.ndarray]:
            turn = Rotation.from_rotvec([0, 0, turned])
            return anchor + turn.apply(grip - anchor), turn.as_matrix() @ first

        opened = partial(environment.reached, goal)
        place, rotation = pose(0.0)
        phases = [
            Phase("move", arm.high_over(place, _ABOVE), rotation, OPEN_GRIPPER, 0.015, 80),
            Phase("move", place, rotation, OPEN_GRIPPER, 0.006, 50),
            Phase("close", place, rotation, CLOSE_GRIPPER, 0, 30),
        ]
        for turned in np.linspace(0, wanted, 2 * _STEPS)[1:]:
            place, rotation = pose(turned)
            phases.append(Phase("push", place, rotation, CLOSE_GRIPPER, 0.02, 20, until=opened))
        phases += [
            Phase("release", place, rotation, OPEN_GRIPPER, 0, 8),
            Phase("move", arm.high_over(place, _ABOVE), rotation, OPEN_GRIPPER, 0.03, 30),
        ]
        self.begin(phases)


def _door(environment: TaskEnvironment, goal: Goal) -> tuple[np.ndarray, np.ndarray, float, float]:
    """The hinge [3], the middle of the handle [3], half the handle's length, and how far it is turned, radians."""
    model, data = environment.model, environment.data
    joint = environment.joint_of(goal.item)
    bars = [
        geom
        for geom in range(model.ngeom)
        if model.geom_bodyid[geom] == model.jnt_bodyid[joint] and model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE
    ]
    if not bars:
        raise ValueError(f"{goal.item} has no handle that the scripted expert knows")
    handle = max(bars, key=lambda geom: model.geom_size[geom][1])
    angle = data.qpos[model.jnt_qposadr[joint]] * np.sign(data.xaxis[joint][2])
    return data.xanchor[joint].copy(), data.geom_xpos[handle].copy(), float(model.geom_size[handle][1]), float(angle)
