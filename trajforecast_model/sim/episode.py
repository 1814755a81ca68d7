"""One episode: the scripted expert acts in a task's environment until the task is solved or time is up."""

import dataclasses
from collections.abc import Callable

import numpy as np

from trajforecast_model.sim.environment import TaskEnvironment
from trajforecast_model.sim.expert import PickAndPlace

MAX_STEPS = 300
STEPS_AFTER_SUCCESS = 10  # so that the release is seen to the end


@dataclasses.dataclass
class EpisodeRecord:
    """states[j] is the state before actions[j]; observations[j] was seen after it, so it shows states[j + 1].

    actions: float64 [N, 7]; states: float64 [N, 1 + nq + nv]; model_xml: the scene's MJCF.
    """

    seed: int
    model_xml: str
    actions: np.ndarray
    states: np.ndarray
    observations: dict[str, np.ndarray]


def run_episode(
    environment: TaskEnvironment, seed: int, observe: Callable[[], dict[str, np.ndarray]] | None = None
) -> EpisodeRecord | None:
    """Simulates the episode of a seed.

    Args:
        observe: called after each action; what it returns is stacked over time in `observations`.

    Returns:
        The record, or None if the expert did not solve the task.

    Raises:
        ValueError: if the task asks for more than putting one thing in or on another.
    """
    goals = environment.goals()
    if len(goals) != 1:
        task = environment.task
        raise ValueError(
            f"{task.suite} task {task.number} ({task.instruction}) has {len(goals)} goals; the scripted expert "
            "reaches one. Choose other tasks"
        )
    environment.reset(seed)
    expert = PickAndPlace(environment, goals[0], np.random.default_rng(seed))
    model_xml = environment.model_xml()
    actions, states, observations = [], [], []
    steps_solved = 0
    while not expert.done and len(actions) < MAX_STEPS and steps_solved < STEPS_AFTER_SUCCESS:
        states.append(environment.state())
        actions.append(expert.act())
        environment.step(actions[-1])
        if observe is not None:
            observations.append(observe())
        steps_solved = steps_solved + 1 if environment.succeeded() else 0
    if not environment.succeeded():
        return None
    stacked = {name: np.stack([seen[name] for seen in observations]) for name in (observations or [{}])[0]}
    return EpisodeRecord(seed, model_xml, np.array(actions), np.array(states), stacked)
