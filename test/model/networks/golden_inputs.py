"""The inputs of the golden files, and how far an output is from them."""

import numpy as np
import torch


def normal(seed: int, shape: list[int]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def relative_error(actual: torch.Tensor, expected: np.ndarray) -> float:
    expected = torch.from_numpy(expected)
    return ((actual.float().cpu() - expected).norm() / expected.norm()).item()
