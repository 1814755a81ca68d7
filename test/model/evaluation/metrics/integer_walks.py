"""Tracks of a 20x20 grid over 256 px whose FVMD and LRTL are known."""

import numpy as np

BASE = np.stack(np.meshgrid(8 + 12 * np.arange(20), 8 + 12 * np.arange(20)), -1).astype(float)  # [20, 20, 2]


def steady(x: float, y: float) -> np.ndarray:
    """Eight equal sets [8, 16, 20, 20, 2] in which every point moves by (x, y) px a frame."""
    return np.tile(BASE + np.arange(16)[:, None, None, None] * np.array([x, y]), (8, 1, 1, 1, 1))


def random_walks() -> tuple[np.ndarray, np.ndarray]:
    """Slow and fast ones, [8, 16, 20, 20, 2] each."""
    rng = np.random.default_rng(0)
    slow = rng.integers(-1, 2, (8, 16, 400, 2))
    fast = rng.integers(-3, 4, (8, 16, 400, 2))
    return tuple(BASE + np.cumsum(steps, axis=1).reshape(8, 16, 20, 20, 2) for steps in (slow, fast))
