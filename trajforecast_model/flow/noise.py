"""Seeded noise that does not depend on the batch: sample i of a stream is the same whether 1 or 8 are drawn."""

import zlib

import numpy as np
import torch
from torch import Tensor


def sample_noise(seed: int, stream: str, k: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise [k, *shape], float32 on the CPU.

    Args:
        seed: the user's seed.
        stream: what the noise is for, e.g. the view's name, so that views are independent of each other.
    """
    samples = [
        np.random.default_rng([seed, zlib.crc32(stream.encode()), i]).standard_normal(shape, dtype=np.float32)
        for i in range(k)
    ]
    return torch.from_numpy(np.stack(samples))
