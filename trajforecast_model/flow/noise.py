"""Seeded noise that does not depend on the batch: sample i of a stream is the same whether 1 or 8 are drawn.

Samples come in pairs of opposite noise (antithetic variates): what the first of a pair is too fast, the second is too slow, so
that the mean of a few is as near to the middle of all futures as that of many, and a few reach to both sides of it.
"""

import zlib
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

KEPT = 8  # of the last draws, a view each: half a megabyte for a small model, 8 MB for the paper's B


def sample_noise(seed: int, stream: str, k: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise [k, *shape], float32 on the CPU; sample 2i + 1 is the negative of sample 2i.

    Args:
        seed: the user's seed.
        stream: what the noise is for, e.g. the view's name, so that views are independent of each other.
    """
    return torch.from_numpy(_draw(seed, stream, k, shape).copy())


@lru_cache(KEPT)  # a robot forecasts with the same seed again and again
def _draw(seed: int, stream: str, k: int, shape: tuple[int, ...]) -> np.ndarray:
    drawn = [
        np.random.default_rng([seed, zlib.crc32(stream.encode()), i]).standard_normal(shape, dtype=np.float32)
        for i in range(0, k, 2)
    ]
    return np.stack([sign * noise for noise in drawn for sign in (1, -1)][:k])
