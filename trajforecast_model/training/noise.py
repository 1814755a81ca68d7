"""Noise of a training step, drawn for each window by its place in the global batch."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


class WindowNoise:
    """Standard normal noise for some windows of a step's batch.

    A window's noise depends on the seed, the step and the window's position in the global batch, and on nothing else:
    it is the same however the batch is split over ranks and micro-batches, and after a resume.
    """

    def __init__(self, seed: int, step: int, positions: range, device: torch.device):
        self._entropy, self._positions, self._device = (seed, step), positions, device
        self._generator = torch.Generator(device)
        self._draws = 0

    def normal(self, *shape: int) -> Tensor:
        """float32 [B, *shape], B windows; a further call draws further noise."""
        noise = torch.empty(len(self._positions), *shape, device=self._device)
        for row, position in zip(noise, self._positions, strict=True):
            seed = np.random.SeedSequence([*self._entropy, self._draws, position]).generate_state(1, np.uint64)
            row.normal_(generator=self._generator.manual_seed(int(seed[0])))
        self._draws += 1
        return noise

    @contextmanager
    def of_dropout(self) -> Iterator[None]:
        """Seeds what PyTorch draws by itself, such as dropout: the same after a resume, though not in another split."""
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            seed = np.random.SeedSequence([*self._entropy, self._positions.start]).generate_state(1, np.uint64)
            torch.manual_seed(int(seed[0]))
            yield
