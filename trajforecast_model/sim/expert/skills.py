"""What the scripted expert does for a task: a skill for each of its goals, in an order in which none undoes another."""

import mujoco
import numpy as np

from trajforecast_model.sim.environment import Goal, TaskEnvironment
from trajforecast_model.sim.expert.arm import Arm
from trajforecast_model.sim.expert.doors import CloseDoor, OpenDoor
from trajforecast_model.sim.expert.drawers import CloseDrawer, OpenDrawer
from trajforecast_model.sim.expert.knobs import TurnKnob
from trajforecast_model.sim.expert.pick_and_place import PickAndPlace
from trajforecast_model.sim.expert.skill import Skill

_SKILLS: dict[str, type[Skill]] = {
    "in": PickAndPlace,
    "on": PickAndPlace,
    "open": OpenDrawer,
    "close": CloseDrawer,
    "turnon": TurnKnob,
    "turnoff": TurnKnob,
}
_OF_DOORS: dict[str, type[Skill]] = {"open": OpenDoor, "close": CloseDoor}


def check_known(goals: list[Goal]) -> None:
    """Raises ValueError for a goal that no skill is for."""
    for goal in goals:
        if goal.relation not in _SKILLS:
            raise ValueError(f"asks to {goal.relation} {goal.item}, for which the scripted expert has no skill")


def skill_for(environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator) -> Skill:
    skill = _SKILLS[goal.relation]
    if goal.relation in _OF_DOORS:
        joint = environment.joint_of(goal.item)
        if environment.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE:
            skill = _OF_DOORS[goal.relation]
    return skill(environment, arm, goal, rng)


def in_order(goals: list[Goal]) -> list[Goal]:
    """As they are to be reached: what something goes into is closed last, all else in the order of the task."""
    filled = [goal.target for goal in goals if goal.target]
    return sorted(
        goals, key=lambda goal: goal.relation == "close" and any(name.startswith(goal.item) for name in filled)
    )
