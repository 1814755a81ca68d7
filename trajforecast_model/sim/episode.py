"""Episodes: the scripted expert acts in a task's environment until its goal is reached or time is up."""

import dataclasses
from collections.abc import Callable

import numpy as np

from trajforecast_model.sim.environment import Goal, TaskEnvironment
from trajforecast_model.sim.expert.pick_and_place import PickAndPlace

MAX_STEPS = 300
MAX_ATTEMPTS_PER_FUTURE = 3
STEPS_AFTER_SUCCESS = 10  # so that the release is seen to the end


@dataclasses.dataclass
class EpisodeRecord:
    """states[j] is the state before actions[j]; observations[j] was seen after it, so it shows states[j + 1].

    actions: float64 [N, 7]; states: float64 [N, 1 + nq + nv]; model_xml: the scene's MJCF. Episodes of the same seed
    begin in the same state; `future` tells them apart.
    """

    seed: int
    future: int
    instruction: str
    model_xml: str
    actions: np.ndarray
    states: np.ndarray
    observations: dict[str, np.ndarray]


def run_futures(
    environment: TaskEnvironment, seed: int, futures: int, observe: Callable[[], dict[str, np.ndarray]] | None = None
) -> list[EpisodeRecord]:
    """Simulates episodes that begin in the state of a seed and go on differently.

    The first does what the task asks for. The others take each thing of the scene in turn, the task's own too, with
    another speed, approach, place and disturbance; attempts that fail are left out.

    Args:
        observe: called after each action; what it returns is stacked over time in `observations`.

    Returns:
        The records, as many as `futures`; none if the expert did not solve so many, or not the task itself.

    Raises:
        ValueError: if the task asks for more than putting one thing in or on another.
    """
    task = environment.task
    goals = environment.goals()
    if len(goals) != 1:
        raise ValueError(
            f"{task.suite} task {task.number} ({task.instruction}) has {len(goals)} goals; the scripted expert "
            "reaches one. Choose other tasks"
        )
    of_other_items = environment.goals_of_other_items(goals[0]) if futures > 1 else []
    records: list[EpisodeRecord] = []
    for attempt in range(MAX_ATTEMPTS_PER_FUTURE * futures):
        goal = [*goals, *of_other_items][attempt % (1 + len(of_other_items))]
        recorded = _attempt(environment, seed, attempt, goal, observe)
        if recorded is not None:
            instruction = task.instruction if goal == goals[0] else goal.instruction()
            records.append(EpisodeRecord(seed, len(records), instruction, *recorded))
        elif attempt == 0:
            return []
        if len(records) == futures:
            return records
    return []


def _attempt(environment: TaskEnvironment, seed: int, attempt: int, goal: Goal, observe) -> tuple | None:
    """Scene, actions, states and observations of an episode, or None if the expert did not reach the goal."""
    environment.reset(seed)
    # The first attempt's generator is that of an episode which is the only one of its seed.
    expert = PickAndPlace(environment, goal, np.random.default_rng([seed, attempt] if attempt else seed))
    model_xml = environment.model_xml()
    actions, states, observations = [], [], []
    steps_solved = 0
    while not expert.done and len(actions) < MAX_STEPS and steps_solved < STEPS_AFTER_SUCCESS:
        states.append(environment.state())
        actions.append(expert.act())
        environment.step(actions[-1])
        if observe is not None:
            observations.append(observe())
        steps_solved = steps_solved + 1 if environment.reached(goal) else 0
    if not environment.reached(goal):
        return None
    stacked = {name: np.stack([seen[name] for seen in observations]) for name in (observations or [{}])[0]}
    return model_xml, np.array(actions), np.array(states), stacked
