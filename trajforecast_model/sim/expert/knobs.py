"""A skill of the scripted expert: turns the knob of a stove."""

from functools import partial

import numpy as np
from scipy.spatial.transform import Rotation

from trajforecast_model.sim.environment import CLOSE_GRIPPER, OPEN_GRIPPER, Goal, TaskEnvironment
from trajforecast_model.sim.expert.arm import Arm
from trajforecast_model.sim.expert.grasping import find_grasp
from trajforecast_model.sim.expert.phases import Phase
from trajforecast_model.sim.expert.skill import Skill
from trajforecast_model.sim.expert.surfaces import visible_points

_TURNS = {"turnon": 1.2, "turnoff": -2.6}  # radians, to which a knob is turned unless it is there before
_ABOVE = 0.14


class TurnKnob(Skill):
    """Takes a knob by its bar and turns it, to where the goal says."""

    def __init__(self, environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator):
        super().__init__(arm, rng)
        model, data = environment.model, environment.data
        joint = environment.joint_of(goal.item)
        points = visible_points(model, data, model.body(model.jnt_bodyid[joint]).name)
        bar = points[points[:, 2] > points[:, 2].max() - 0.02]
        grasp = find_grasp(bar, arm.closing_axis, rng, below_top=0.012)
        axis, wanted = data.xaxis[joint].copy(), _TURNS[goal.relation]
        # A bar looks the same after half a turn: the one from which the wrist turns least far out.
        about_up = wanted * np.sign(axis[2])
        yaw = min((grasp.yaw + half for half in (-np.pi, 0, np.pi)), key=lambda yaw: abs(yaw + about_up / 2))
        anchor = data.xanchor[joint].copy()

        def pose(angle: float) -> tuple[np.ndarray, np.ndarray]:
            turn = Rotation.from_rotvec(angle * axis).as_matrix()
            start = Rotation.from_euler("z", yaw).as_matrix() @ arm.first_rotation
            return anchor + turn @ (grasp.position - anchor), turn @ start

        turned = partial(environment.reached, goal)
        above = np.array([0, 0, _ABOVE])
        place, rotation = pose(0.0)
        phases = [
            Phase("move", place + above, rotation, OPEN_GRIPPER, 0.015, 80),
            Phase("move", place, rotation, OPEN_GRIPPER, 0.006, 50),
            Phase("close", place, rotation, CLOSE_GRIPPER, 0, 30),
        ]
        for angle in np.linspace(0, wanted, 7)[1:]:
            place, rotation = pose(angle)
            phases.append(Phase("push", place, rotation, CLOSE_GRIPPER, 0.02, 25, until=turned))
        phases += [
            Phase("release", place, rotation, OPEN_GRIPPER, 0, 8),
            Phase("move", place + above, rotation, OPEN_GRIPPER, 0.03, 30),
        ]
        self.begin(phases)
