"""sensor_msgs/Image with depth, as REP 118 has it: 16UC1 in millimetres or 32FC1 in metres."""

import numpy as np

from trajforecast_model.image_messages.raw import Image, ImageRefused, rows_of

_NUMBERS = {"16UC1": ("u2", 0.001), "32FC1": ("f4", 1.0)}  # its numbers, and metres of one


def to_metres(message: Image) -> np.ndarray:
    """Depth along the optical axis, float32 [height, width]; NaN where nothing was measured (0, infinite, below 0).

    Raises:
        ImageRefused: for another encoding, an empty image, or data that is too short for the announced size.
    """
    if message.encoding not in _NUMBERS:
        raise ImageRefused(
            f"encoding {message.encoding!r} is not depth; publish {' in millimetres or '.join(_NUMBERS)} in metres"
        )
    if not message.height or not message.width:
        raise ImageRefused(f"the depth image is empty: {message.width}x{message.height}")
    kind, metres = _NUMBERS[message.encoding]
    number = np.dtype((">" if message.is_bigendian else "<") + kind)
    rows = rows_of(message, message.height, message.width * number.itemsize, message.step)
    depth = rows.view(number).astype(np.float32) * np.float32(metres)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))
