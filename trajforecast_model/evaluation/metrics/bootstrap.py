"""How much an average over windows would change with other demos of the same kind.

The windows of one demo overlap and resemble each other, so demos are what is drawn again (a cluster bootstrap; Efron
and Tibshirani 1993, chapters 8 and 13), and the percentiles of the averages are the interval. Pure numpy.
"""

from collections.abc import Hashable, Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 2000
_SEED = 0  # fixed: two evaluations print the same intervals


class DemoBootstrap:
    """The same draws of demos for everything measured on these windows, so that ratios are of paired draws."""

    def __init__(self, demos: Sequence[Hashable]):
        """
        Args:
            demos: the demo of each of N windows.
        """
        names = {name: number for number, name in enumerate(dict.fromkeys(demos))}
        self.num_demos = len(names)
        self._demo = np.array([names[name] for name in demos])
        draws = np.random.default_rng(_SEED).multinomial(
            self.num_demos, np.full(self.num_demos, 1 / self.num_demos), size=RESAMPLES
        )
        self._draws = draws.astype(np.float64)  # [RESAMPLES, demos]: how often each was drawn

    def mean(self, values: Sequence[float]) -> list[float] | None:
        """[low, high] of the average of N values; None for a single demo, which says nothing of others."""
        return self.ratio(values, np.ones(len(values)))

    def ratio(self, numerators: Sequence[float], denominators: Sequence[float]) -> list[float] | None:
        """[low, high] of the sum of N numerators over the sum of N denominators; None also where one may be zero."""
        totals = self._totals(denominators)
        if self.num_demos < 2 or not totals.all():
            return None
        ratios = self._totals(numerators) / totals
        return [float(bound) for bound in np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])]

    def _totals(self, values: Sequence[float]) -> np.ndarray:
        per_demo = np.bincount(self._demo, np.asarray(values, np.float64), self.num_demos)
        return self._draws @ per_demo
