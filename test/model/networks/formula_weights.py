"""The formula weights of the golden files: no weights travel, everybody computes the same ones."""

import zlib

import numpy as np
import torch


def normal(seed: int, shape: list[int]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def formula_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """State dict in the official layout; the fixed tables are left at zero, since no reader may use them."""
    state = {}
    for key, shape in shapes.items():
        if key in ("pos_embed", "temp_embed", "frame_embed") or key.endswith(".scale"):
            state[key] = torch.zeros(shape)
            continue
        values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32) * 0.02
        if key.endswith(".weight") and "norm" in key:
            values = 1 + values
        if key.endswith("lff.w") or ".gate_" in key:
            values = values * 50
        state[key] = torch.from_numpy(values.astype(np.float32))
    return state


def relative_error(actual: torch.Tensor, expected: np.ndarray) -> float:
    expected = torch.from_numpy(expected)
    return ((actual - expected).norm() / expected.norm()).item()
