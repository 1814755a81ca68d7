"""Which checkpoint is the best one: the paper's choice, by the best of k samples on the val split."""

import math

import numpy as np


def best_error(figures: dict[str, float]) -> float:
    """Least error of the samples, averaged over views; infinite where nothing moved."""
    best_of_k = [value for name, value in figures.items() if name.endswith("_min_px2")]
    return float(np.mean(best_of_k)) if best_of_k else math.inf
