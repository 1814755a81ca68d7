"""What makes two ways of doing the same differ, as people's do: speed, pauses and detours, drawn for each episode."""

import dataclasses

import numpy as np

from trajforecast_model.sim.expert.phases import Phase

_SPEEDS = (0.7, 1.1)  # of a phase, as a share of the episode's speed
_PAUSE, _PAUSE_STEPS = 0.12, (4, 15)  # how probable before a move, and how long in control steps
_DETOUR, _DETOUR_ASIDE, _DETOUR_UP = 0.35, 0.04, 0.08  # how probable on a long way, and how far off it at most, metres
_LONG_WAY = 0.12  # metres
_COARSE = 0.015  # metres of tolerance from which a move need not be straight


def varied(phases: list[Phase], start: np.ndarray, rng: np.random.Generator) -> list[Phase]:
    """The same phases in the same order with speeds of their own, pauses before some moves and detours on long ones.

    Args:
        start: where the gripper is [3].
    """
    result = []
    for phase in phases:
        phase = dataclasses.replace(phase, speed=rng.uniform(*_SPEEDS))
        if phase.kind == "move":
            if rng.uniform() < _PAUSE:
                steps = int(rng.integers(*_PAUSE_STEPS))
                result.append(dataclasses.replace(phase, kind="pause", max_steps=steps))
            way = phase.target - start
            if np.linalg.norm(way) > _LONG_WAY and phase.tolerance >= _COARSE and rng.uniform() < _DETOUR:
                aside = rng.uniform(-_DETOUR_ASIDE, _DETOUR_ASIDE, 2)
                middle = start + rng.uniform(0.3, 0.7) * way + [*aside, rng.uniform(0, _DETOUR_UP)]
                result.append(dataclasses.replace(phase, target=middle, tolerance=0.04, max_steps=40))
        result.append(phase)
        start = phase.target
    return result
