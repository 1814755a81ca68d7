"""Random walks whose figures of TrajLoom's official benchmark are known."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Clips:
    truth: np.ndarray  # [videos, frames, rows, columns, 2], px
    forecast: np.ndarray
    visible: np.ndarray  # bool [videos, frames, rows, columns], of the truth
    spacing: int


def random_clips(seed: int, videos: int, frames: int, rows: int, columns: int, spacing: int) -> Clips:
    x, y = np.meshgrid(spacing * np.arange(columns), spacing * np.arange(rows))
    points = np.stack([x, y], axis=-1)

    def walks(seed: int, step: float) -> np.ndarray:
        steps = np.random.default_rng(seed).standard_normal((videos, frames, rows * columns, 2))
        return points + step * np.cumsum(steps, axis=1).reshape(videos, frames, rows, columns, 2)

    visible = np.random.default_rng(seed + 2).random((videos, frames, rows * columns)) > 0.25
    return Clips(walks(seed, 1.5), walks(seed + 1, 2.0), visible.reshape(videos, frames, rows, columns), spacing)


def case_a() -> Clips:
    return random_clips(2000, 6, 81, 15, 26, 32)


def case_b() -> Clips:
    return random_clips(2010, 5, 40, 10, 15, 16)
