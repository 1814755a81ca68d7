"""How much of a forecast fits into a time: what forecasts of this machine have cost says how many steps and samples.

Less is done in this order: fewer solver steps down to LEAST_STEPS, then fewer samples down to one. Where another number
of samples would cost far more than it saves, as it does in compiled networks, there are only fewer steps.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

# From pure noise the velocity points to the mean of all futures: one Euler step takes every sample to the same place.
LEAST_STEPS = 2
REMEMBERED = 128  # forecasts that the margin looks back on: the next is slower than all of them once in 129 times
FIRST_MARGIN = 1.1  # stands among them until there are that many

clock = time.perf_counter


class Effort(NamedTuple):
    steps: int  # network evaluations
    k: int  # samples


class CostModel:
    """Seconds of a forecast: a + b k + (c + d k) steps, measured once, and a margin that every forecast since updates.

    Args:
        measure: makes a forecast of that effort and returns its seconds.
        wanted: the most that will be asked for; what is in between is interpolated.
        same_k: no other number of samples is measured or chosen.
    """

    def __init__(self, measure: Callable[[Effort], float], wanted: Effort, same_k: bool = False):
        samples = (wanted.k,) if same_k else (1, max(wanted.k, 2))
        corners = [Effort(steps, k) for steps in (1, max(wanted.steps, 2)) for k in samples]
        measure(corners[0])  # the first forecast also reserves memory and loads kernels
        seconds = [min(measure(corner), measure(corner)) for corner in corners]
        # Two corners do not tell the four coefficients, but any that fit them are right for this k.
        self._coefficients = np.linalg.lstsq(np.array([_terms(corner) for corner in corners]), seconds, rcond=None)[0]
        self._same_k = same_k
        self._ratios = deque([FIRST_MARGIN], maxlen=REMEMBERED)  # of measured to expected seconds

    def expected(self, effort: Effort) -> float:
        """Seconds without a margin."""
        return max(float(self._coefficients @ _terms(effort)), 0.0)

    def choose(self, wanted: Effort, seconds: float) -> Effort:
        """The most of `wanted` that is done within `seconds` in 99 of 100 forecasts, or the least there is."""
        margin = max(self._ratios)
        for effort in _ever_less(wanted, wanted.k if self._same_k else 1):
            if self.expected(effort) * margin <= seconds:
                return effort
        return effort

    def note(self, effort: Effort, seconds: float) -> None:
        """Takes in what a forecast took; a machine that became slower, or is quiet again, is noticed by this."""
        self._ratios.append(seconds / max(self.expected(effort), 1e-9))


def _terms(effort: Effort) -> np.ndarray:
    return np.array([1, effort.k, effort.steps, effort.k * effort.steps], dtype=float)


def _ever_less(wanted: Effort, least_k: int) -> Iterator[Effort]:
    least_steps = min(wanted.steps, LEAST_STEPS)
    for steps in range(wanted.steps, least_steps, -1):
        yield Effort(steps, wanted.k)
    for k in range(wanted.k, least_k - 1, -1):
        yield Effort(least_steps, k)
