"""Making a camera's picture fit the networks, which see one size and aspect, and bringing the forecast back.

"stretch" shows them the whole picture, squeezed to their aspect; "crop" shows them its undistorted middle. Either way
a forecast leaves in pixels of the camera's own image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trajforecast_model.forecaster import Forecast

FITS = ("stretch", "crop")


@dataclass(frozen=True)
class Fitted:
    """What the networks are shown of a picture."""

    picture: np.ndarray  # uint8 [height, width, 3]; shares the memory of the whole picture
    corner: tuple[int, int]  # (x, y) of its top-left pixel in the whole picture


def fit(picture: np.ndarray, how: str, size: tuple[int, int]) -> Fitted:
    """The part of a picture to forecast: all of it, or the largest centred window with the networks' aspect.

    Args:
        picture: [height, width, 3]
        how: one of FITS.
        size: (height, width) that the networks were trained on.

    Raises:
        ValueError: for another `how`.
    """
    if how not in FITS:
        raise ValueError(f"image_fit is {how!r}; choose one of {', '.join(FITS)}")
    if how == "stretch":
        return Fitted(picture, (0, 0))
    height, width = picture.shape[:2]
    # At least one pixel, for pictures that are much longer than wide.
    kept_height = min(height, max(1, round(width * size[0] / size[1])))
    kept_width = min(width, max(1, round(height * size[1] / size[0])))
    x, y = (width - kept_width) // 2, (height - kept_height) // 2
    return Fitted(picture[y : y + kept_height, x : x + kept_width], (x, y))


def to_source_pixels(forecast: Forecast, fitted: dict[str, Fitted]) -> Forecast:
    """A forecast of fitted pictures, in pixels of the whole ones.

    Args:
        fitted: by view name, what `fit` returned for it.
    """
    corners = np.array([fitted[view].corner for view in forecast.views], dtype=np.float32)  # [V, 2]
    if not corners.any():
        return forecast
    tracks = forecast.tracks.copy()
    for axis in (0, 1):  # one at a time: broadcasting over a last axis of two is slow
        tracks[..., axis] += corners[:, axis, None, None, None, None]
    return replace(forecast, tracks=tracks)
