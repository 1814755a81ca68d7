"""Episodes: the scripted expert acts in a task's environment until its goal is reached or time is up."""

import dataclasses
from collections.abc import Callable

import numpy as np

from trajforecast_model.sim.environment import Goal, TaskEnvironment
from trajforecast_model.sim.expert.skills import Expert, check_known, in_order

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
        ValueError: if the task asks for what the expert cannot do, or for more than putting one thing in or on another
            where there are to be several futures.
    """
    task = environment.task
    goals = in_order(environment.goals())
    try:
        check_known(goals)
        if futures > 1 and not (len(goals) == 1 and goals[0].target):
            raise ValueError("asks for more than putting one thing in or on another, which alone has several --futures")
    except ValueError as error:
        raise ValueError(f"{task.suite} task {task.number} ({task.instruction}) {error}. Choose other tasks") from error
    of_other_items = environment.goals_of_other_items(goals[0]) if futures > 1 else []
    wanted = [goals, *([other] for other in of_other_items)]
    records: list[EpisodeRecord] = []
    for attempt in range(MAX_ATTEMPTS_PER_FUTURE * futures):
        asked = wanted[attempt % len(wanted)]
        recorded = _attempt(environment, seed, attempt, asked, observe)
        if recorded is not None:
            instruction = task.instruction if asked == goals else asked[0].instruction()
            records.append(EpisodeRecord(seed, len(records), instruction, *recorded))
        elif attempt == 0:
            return []
        if len(records) == futures:
            return records
    return []


def _attempt(environment: TaskEnvironment, seed: int, attempt: int, goals: list[Goal], observe) -> tuple | None:
    """Scene, actions, states and observations of an episode, or None if the expert did not reach the goals."""
    environment.reset(seed)
    # The first attempt's generator is that of an episode which is the only one of its seed.
    rng = np.random.default_rng([seed, attempt] if attempt else seed)
    expert = Expert(environment, goals, rng)
    model_xml = environment.model_xml()
    actions, states, observations = [], [], []
    steps_solved = 0

    def reached() -> bool:
        return all(environment.reached(goal) for goal in goals)

    while not expert.done and steps_solved < STEPS_AFTER_SUCCESS:
        states.append(environment.state())
        actions.append(expert.act())
        environment.step(actions[-1])
        if observe is not None:
            observations.append(observe())
        steps_solved = steps_solved + 1 if reached() else 0
    if not reached():
        return None
    stacked = {name: np.stack([seen[name] for seen in observations]) for name in (observations or [{}])[0]}
    return model_xml, np.array(actions), np.array(states), stacked
