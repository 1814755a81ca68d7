"""One episode: an actor in a task's environment until the goal is reached or time is up."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trajforecast_model.evaluation.rollouts.actors import Actor
from trajforecast_model.evaluation.rollouts.phases import PhaseWatch
from trajforecast_model.sim.environment import TaskEnvironment


@dataclass(frozen=True)
class Outcome:
    """phases: by name, after how many control steps each was reached, or None."""

    success: bool
    steps: int
    phases: dict[str, int | None]


def roll_out(
    environment: TaskEnvironment, actor: Actor, seed: int, horizon: int, watch: Callable[[], None] | None = None
) -> Outcome:
    """Args:
    seed: of the scene.
    horizon: control steps, 20 a second.
    watch: called before the first action and after each, for a film.
    """
    actor.begin(seed)
    environment.reset(seed)
    phases = PhaseWatch(environment, environment.goals()[0])
    if watch is not None:
        watch()
    for step in range(horizon):
        environment.step(np.asarray(actor.act(step), np.float64))
        phases.look(step + 1)
        if watch is not None:
            watch()
        if phases.reached["placed"] is not None:
            return Outcome(True, step + 1, phases.reached)
    return Outcome(False, horizon, phases.reached)
