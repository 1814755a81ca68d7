"""Where the query points of the present were before: what a forecast with a past is given beside the picture.

Works on numpy arrays and torch tensors alike.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray


class History(NamedTuple):
    """The present grid of B views at the H frames before the present one, dt apart, oldest first."""

    tracks: ndarray  # float32 [B, H, rows, columns, 2], pixels of the image that the tracks refer to
    visible: ndarray  # bool [B, H, rows, columns]; False where a point is hidden, was lost, or no frame is there


def newest(history: History, frames: int) -> History:
    """The same with all but the newest `frames` masked, as when the camera had just been switched on."""
    visible = history.visible.copy() if isinstance(history.visible, np.ndarray) else history.visible.clone()
    visible[:, : max(0, visible.shape[1] - frames)] = False
    return History(history.tracks, visible)
