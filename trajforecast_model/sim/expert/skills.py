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

MAX_STEPS_PER_GOAL = 450
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


class Expert:
    """Reaches goals one after another, those that are reached already aside; yields one action a control step until `done`."""

    def __init__(self, environment: TaskEnvironment, goals: list[Goal], rng: np.random.Generator):
        self._environment, self._rng = environment, rng
        self._arm = Arm(environment)
        self._waiting = list(goals)
        self._skill = self._next_skill(first=True)

    @property
    def done(self) -> bool:
        return self._skill is None

    def act(self) -> np.ndarray:
        """The next action [7]."""
        action = self._skill.act()
        self._steps += 1
        if self._skill.done or self._steps >= MAX_STEPS_PER_GOAL:
            self._skill = self._next_skill()
        return action

    def _next_skill(self, first: bool = False) -> Skill | None:
        self._steps = 0
        while self._waiting:
            goal = self._waiting.pop(0)
            if first or not self._environment.reached(goal):
                return _skill_for(self._environment, self._arm, goal, self._rng)
        return None


def _skill_for(environment: TaskEnvironment, arm: Arm, goal: Goal, rng: np.random.Generator) -> Skill:
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
