"""Past positions rounded to a fraction of a pixel, in a form that compresses well: for data that has to travel.

A point's place in a frame is told by how far it is from that a frame later, beginning at the present: where nothing moves,
these are zeros, and where a body moves evenly, the same number over and over.
"""

import numpy as np


def encoded(offsets: np.ndarray, step: float) -> bytes:
    """float [F, H, W, 2] pixels, oldest first, as int16 multiples of `step`; those beyond 32,767 of them are cut."""
    steps = np.clip(np.round(offsets / step), -32768, 32767).astype(np.int16)
    by_axis = np.moveaxis(steps[::-1], -1, 1)
    return (
        np.diff(by_axis, axis=0, prepend=np.int16(0)).astype(np.int16).tobytes()
    )  # differences wrap around, as sums do


def decoded(data: bytes, shape: tuple[int, ...], step: float) -> np.ndarray:
    """float32 of this shape, [F, H, W, 2]. Raises ValueError for bytes of another shape."""
    frames, height, width, _ = shape
    differences = np.frombuffer(data, np.int16).reshape(frames, 2, height, width)
    steps = np.cumsum(differences, axis=0, dtype=np.int16)
    return step * np.moveaxis(steps, 1, -1)[::-1].astype(np.float32)
