"""How many solver steps and samples a forecast gets: what was asked for, or what fits into a time."""

from collections.abc import Callable

import numpy as np

from trajforecast_model.inference import budget
from trajforecast_model.inference.budget import CostModel, Effort


def checked_effort(steps: int, k: int) -> Effort:
    """Raises ValueError unless both are whole numbers of at least 1."""
    for name, value in (("k", k), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")
    return Effort(steps, k)


class Deadlines:
    """What forecasts of this model cost on this machine, and so what can be done in time."""

    def __init__(self):
        self._costs: dict[tuple[int, int | None], CostModel] = {}
        self.is_compiled = False

    def compiled(self) -> None:
        """The networks were compiled: what forecasts cost before says nothing any more."""
        self.is_compiled = True
        self._costs.clear()

    def measure(self, num_views: int, wanted: Effort, forecast: Callable[[Effort], None]) -> None:
        """Makes nine forecasts of blank images (five of compiled networks) and keeps what they cost."""

        def seconds(effort: Effort) -> float:
            begun = budget.clock()
            forecast(effort)
            return budget.clock() - begun

        self._costs[self._key(num_views, wanted.k)] = CostModel(seconds, wanted, same_k=self.is_compiled)

    def are_known(self, num_views: int, k: int) -> bool:
        return self._key(num_views, k) in self._costs

    def choose(self, num_views: int, wanted: Effort, seconds: float) -> Effort:
        """The most of `wanted` that fits; costs must be known."""
        return self._costs[self._key(num_views, wanted.k)].choose(wanted, seconds)

    def note(self, num_views: int, effort: Effort, seconds: float) -> None:
        """Takes in what a forecast took."""
        self._costs[self._key(num_views, effort.k)].note(effort, seconds)

    def _key(self, num_views: int, k: int) -> tuple[int, int | None]:
        """Compiled networks cost what they do for their own k: another one would first have to be compiled."""
        return num_views, k if self.is_compiled else None
