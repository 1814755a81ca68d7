"""Which way up stored images stand, and how they come to stand upright.

LIBERO's renderer gives images upside down, and released LIBERO files hold them so. The copies made for OpenVLA, and
from those for LeRobot, turned them by 180 degrees. Of an upside-down image that makes a mirrored one: to be upright it
must be mirrored back, and neither flipped nor turned.
"""

from pathlib import Path

import numpy as np

# What undoes each, on axes (..., row, column, channel). Each operation undoes itself.
_UNDO = {
    "upright": (slice(None), slice(None)),
    "upside_down": (slice(None, None, -1), slice(None)),
    "mirrored": (slice(None), slice(None, None, -1)),
    "rotated": (slice(None, None, -1), slice(None, None, -1)),
}
ORIENTATIONS = tuple(_UNDO)
_DEEDS = {
    "upright": "left as they are",
    "upside_down": "flipped top to bottom",
    "mirrored": "mirrored back, left to right",
    "rotated": "turned by 180 degrees",
}
GIVEN = "as --orientation says"


def what_is_done(orientation: str, because: str) -> str:
    """What becomes of the pixels of a source, and what told so, for people."""
    return f"images {orientation} ({because}): {_DEEDS[orientation]}"


def must_be_told(place: Path, why: str) -> ValueError:
    """The error of a source of which nothing tells for certain how its images stand."""
    return ValueError(
        f"{place}: how do its images stand? {why}. Look at one and give --orientation, one of {', '.join(ORIENTATIONS)}"
    )


def upright(images: np.ndarray, orientation: str) -> np.ndarray:
    """Images [..., H, W, 3] that are stored in `orientation`, as the camera saw them."""
    return np.ascontiguousarray(images[(..., *_UNDO[orientation], slice(None))])


def check_orientation(orientation: str | None) -> None:
    """Raises ValueError unless it is one of ORIENTATIONS or None."""
    if orientation is not None and orientation not in ORIENTATIONS:
        raise ValueError(f"--orientation {orientation!r}: expected one of {', '.join(ORIENTATIONS)}")
