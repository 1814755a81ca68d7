"""Skills of the scripted expert for things with a joint: closing a drawer, turning a knob."""

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from trajforecast_model.sim.environment import CLOSE_GRIPPER, OPEN_GRIPPER, Goal, TaskEnvironment
from trajforecast_model.sim.expert.arm import Arm
from trajforecast_model.sim.expert.grasping import find_grasp, visible_points
from trajforecast_model.sim.expert.phases import Phase, Skill

_GAP = 0.07  # metres between the fingers and the front of a drawer before they push
_TILT = 0.4  # radians that the fingers lean forward, so that the hand stays clear of what is above
_TOO_FAR = 0.04  # metres, and
_TURN = 1.2  # radians, to which a thing is moved unless it is there before
_ABOVE = 0.14


class CloseDrawer(Skill):
    """Pushes the front of a drawer home with closed fingers."""

    def __init__(
        self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator, disturbance: float = 0.05
    ):
        super().__init__(arm, rng, disturbance)
        model, data = environment.model, environment.data
        joint = environment.joint_of(goal.item)
        if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_SLIDE:
            raise ValueError(f"{goal.item} has a door; the scripted expert closes drawers alone")
        shift = -data.qpos[model.jnt_qposadr[joint]]
        inwards = data.xaxis[joint] * np.sign(shift)
        points = visible_points(model, data, model.body(model.jnt_bodyid[joint]).name)
        depth = points @ inwards
        front = points[depth < depth.min() + 0.004].mean(axis=0)
        rotation = _leaning(arm, inwards)
        before = front - _GAP * inwards + [0, 0, rng.uniform(0, 0.01)]
        home = front + (abs(shift) + _TOO_FAR) * inwards
        position, _ = arm.gripper_pose()
        above = before + np.array([0, 0, max(_ABOVE, position[2] - before[2])])

        def closed() -> bool:
            return environment.reached(goal)

        self.begin(
            [
                Phase("move", above, rotation, CLOSE_GRIPPER, 0.02, 80),
                Phase("move", before, rotation, CLOSE_GRIPPER, 0.01, 60),
                Phase("push", home, rotation, CLOSE_GRIPPER, 0.008, 90, until=closed),
                Phase("move", before, rotation, CLOSE_GRIPPER, 0.02, 25),
                Phase("move", above, rotation, OPEN_GRIPPER, 0.03, 30),
            ]
        )


class TurnKnob(Skill):
    """Takes a knob by its bar and turns it, to where the goal says."""

    def __init__(
        self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator, disturbance: float = 0.05
    ):
        super().__init__(arm, rng, disturbance)
        model, data = environment.model, environment.data
        joint = environment.joint_of(goal.item)
        points = visible_points(model, data, model.body(model.jnt_bodyid[joint]).name)
        bar = points[points[:, 2] > points[:, 2].max() - 0.02]
        grasp = find_grasp(bar, arm.closing_axis, np.zeros((0, 2)), rng, below_top=0.012)
        axis = data.xaxis[joint] * (1 if goal.relation == "turnon" else -1)
        anchor = data.xanchor[joint].copy()

        def pose(angle: float) -> tuple[np.ndarray, np.ndarray]:
            turn = Rotation.from_rotvec(angle * axis).as_matrix()
            start = Rotation.from_euler("z", grasp.yaw).as_matrix() @ arm.first_rotation
            return anchor + turn @ (grasp.position - anchor), turn @ start

        def turned() -> bool:
            return environment.reached(goal)

        above = np.array([0, 0, _ABOVE])
        place, rotation = pose(0.0)
        phases = [
            Phase("move", place + above, rotation, OPEN_GRIPPER, 0.015, 80),
            Phase("move", place, rotation, OPEN_GRIPPER, 0.006, 50),
            Phase("close", place, rotation, CLOSE_GRIPPER, 0, 30),
        ]
        for angle in np.linspace(0, _TURN, 5)[1:]:
            place, rotation = pose(angle)
            phases.append(Phase("push", place, rotation, CLOSE_GRIPPER, 0.02, 25, until=turned))
        phases += [
            Phase("release", place, rotation, OPEN_GRIPPER, 0, 8),
            Phase("move", place + above, rotation, OPEN_GRIPPER, 0.03, 30),
        ]
        self.begin(phases)


def _leaning(arm: Arm, direction: np.ndarray) -> np.ndarray:
    """The fingers side by side across a direction on the ground, and leaning towards it."""
    across = np.array([-direction[1], direction[0]])
    angles = [np.arctan2(*(sign * across)[::-1]) - np.arctan2(*arm.closing_axis[::-1]) for sign in (1, -1)]
    yaw = min(((angle + np.pi) % (2 * np.pi) - np.pi for angle in angles), key=abs)
    lean = Rotation.from_rotvec(_TILT * np.cross([0, 0, -1], direction)).as_matrix()
    return lean @ Rotation.from_euler("z", yaw).as_matrix() @ arm.first_rotation
