"""An earlier forecast as the beginning of a new one: its samples, told of the new picture's grid."""

import math

import numpy as np
import torch
from torch import Tensor

from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.tracks.grid import normalise, rescale
from trajforecast_model.tracks.moving_on import moved_on


def check_warm_start(seconds: float, flow_time: float, config: ForecastConfig) -> None:
    """Raises ValueError for an earlier forecast that tells of nothing any more, or a time that flows do not have."""
    if config.generates != "tracks":
        raise ValueError(
            f"warm_start: the model generates {config.generates}, and goes on from no tracks; leave it out"
        )
    if not 0 < flow_time < 1:
        raise ValueError(f"warm_start: got a flow time of {flow_time!r}, expected a number above 0 and below 1")
    horizon = (config.num_frames - 1) * config.dt
    if not (math.isfinite(seconds) and 0 < seconds < horizon):
        raise ValueError(
            f"warm_start: got {seconds!r} seconds, expected more than 0 and less than the {horizon:g} s that a forecast "
            "tells of; forecast anew"
        )


def tracks_to_begin_with(
    earlier: dict[str, np.ndarray], steps: float, sizes: dict[str, tuple[int, int]], k: int, config: ForecastConfig
) -> Tensor:
    """The first k samples of each view, moved on by `steps`, normalised: [V, k, T, 2, H, W].

    Args:
        earlier: by view, [k or more, T, H, W, 2], pixels of pictures of the size of the new ones.
        sizes: by view, (height, width) of the new pictures.

    Raises:
        ValueError: for an earlier forecast of other views, of fewer samples, or of another model's shape.
    """
    if lacking := [view for view in sizes if view not in earlier]:
        raise ValueError(
            f"warm_start: the earlier forecast has the views {', '.join(earlier)}, not {', '.join(lacking)}; forecast anew"
        )
    shape = (config.num_frames, *config.grid, 2)
    parts = []
    for view, size in sizes.items():
        samples = earlier[view]
        if samples.shape[1:] != shape or len(samples) < k:
            raise ValueError(
                f"warm_start: the earlier forecast of {view} is {list(samples.shape)}, expected {k} samples or more of "
                f"{list(shape)}; forecast anew"
            )
        at_model_size = rescale(samples[:k], size, config.image_size)
        parts.append(normalise(moved_on(at_model_size, steps, config.image_size), config.image_size))
    return torch.from_numpy(np.stack(parts).astype(np.float32)).movedim(-1, 3)
