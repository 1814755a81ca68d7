"""What a forecast says: sampled tracks and what is computed of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trajforecast_model.tracks.summary import confidence, mean_track, medoid, spread


@dataclass(frozen=True)
class Forecast:
    """k futures of every query point. Index t = 0 is now; (0, 0) is the corner of the top-left pixel, x right, y down."""

    views: tuple[str, ...]
    tracks: np.ndarray  # float32 [V, k, T, H, W, 2], pixels of that view's input image
    visibility: np.ndarray | None  # [V, k, T, H, W] probability, or None where the model does not predict it
    steps: int  # solver steps that were made
    seed: int
    dt: float  # seconds between frames
    seconds: float = 0.0  # that it took
    deadline_ms: float | None = None  # that was asked for

    @property
    def num_samples(self) -> int:
        return self.tracks.shape[1]

    @property
    def late(self) -> bool:
        """Whether it took longer than its deadline, if it had one."""
        return self.deadline_ms is not None and 1000 * self.seconds > self.deadline_ms

    # Computed when first asked for: tracks can be sent before anybody waits for their summary.

    @cached_property
    def mean_track(self) -> np.ndarray:
        """float32 [V, T, H, W, 2]"""
        return np.stack([mean_track(samples) for samples in self.tracks])

    @cached_property
    def medoid(self) -> np.ndarray:
        """int64 [V], the sample with the least mean distance to the others."""
        return np.array([medoid(samples) for samples in self.tracks])

    @cached_property
    def spread(self) -> np.ndarray:
        """float32 [V, T, H, W], standard deviation over the samples, pixels."""
        return np.stack([spread(samples, mean) for samples, mean in zip(self.tracks, self.mean_track, strict=True)])

    @cached_property
    def confidence(self) -> np.ndarray:
        """float64 [V, k], share of the k samples that lie near this one; sums to 1 in every view."""
        return np.stack([confidence(samples) for samples in self.tracks])
