"""Weights in the official layout that everybody computes alike from a formula, so that no weights have to travel."""

import zlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

FIXED_TABLES = ("pos_embed", "temp_embed", "frame_embed")


def formula_weights(shapes: dict[str, Iterable[int]]) -> dict[str, Tensor]:
    """State dict in the official layout; the fixed tables are left at zero, since no reader may use them."""
    state = {}
    for key, shape in shapes.items():
        if is_fixed(key):
            state[key] = torch.zeros(tuple(shape))
            continue
        values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32) * 0.02
        if key.endswith(".weight") and "norm" in key:
            values = 1 + values
        if key.endswith("lff.w") or ".gate_" in key:
            values = values * 50
        state[key] = torch.from_numpy(values.astype(np.float32))
    return state


def is_fixed(key: str) -> bool:
    """Whether the official networks compute this tensor themselves."""
    return key in FIXED_TABLES or key.endswith(".scale")
