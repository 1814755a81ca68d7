"""Weights in the official layout that everybody computes alike from a formula, so that no weights have to travel."""

import math
import zlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

FIXED_TABLES = ("pos_embed", "temp_embed", "frame_embed")
TRAJLOOM_VAE_TABLES = ("pos_embed", "temp_embed_in", "offset_anchor_grid")


def formula_weights(shapes: dict[str, Iterable[int]]) -> dict[str, Tensor]:
    """State dict in the official layout; the fixed tables are left at zero, since no reader may use them."""
    state = {}
    for key, shape in shapes.items():
        if is_fixed(key):
            state[key] = torch.zeros(tuple(shape))
            continue
        values = 0.02 * _normal(key, shape)
        if key.endswith(".weight") and "norm" in key:
            values = 1 + values
        if key.endswith("lff.w") or ".gate_" in key:
            values = values * 50
        state[key] = torch.from_numpy(values.astype(np.float32))
    return state


def is_fixed(key: str) -> bool:
    """Whether the official networks compute this tensor themselves."""
    return key in FIXED_TABLES or key.endswith(".scale")


def trajloom_weights(shapes: dict[str, Iterable[int]]) -> dict[str, Tensor]:
    """As `formula_weights`, of TrajLoom's networks: scaled so that every path carries signal and nothing saturates."""
    tables = TRAJLOOM_VAE_TABLES if "offset_anchor_grid" in shapes else ()
    return {
        key: torch.zeros(tuple(shape))
        if key in tables
        else torch.from_numpy(np.asarray(_trajloom_values(key, tuple(shape)), dtype=np.float32))
        for key, shape in shapes.items()
    }


def _trajloom_values(key: str, shape: tuple[int, ...]) -> np.ndarray:
    values = _normal(key, shape)
    if not shape:
        return 1 + 0.2 * values
    if key.endswith(".weight") and len(shape) > 1:
        gain = {"final_layer": 0.1, "temporal_net": 2.0}.get(key.partition(".")[0], 1.0)
        return gain / math.sqrt(math.prod(shape[1:])) * values
    if key.endswith(".weight") and "norm" in key:
        return 1 + 0.02 * values
    if key.endswith("lff.w") or "gate_" in key or key in ("pos_embed", "seg_embed"):
        return values
    return 0.02 * values


def _normal(key: str, shape: Iterable[int]) -> np.ndarray:
    return np.asarray(np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape), dtype=np.float32)
