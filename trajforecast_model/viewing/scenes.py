"""What a page shows: moments, each seen by one or several cameras, with the tracks that are drawn over their pictures."""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.images import check_image


@dataclass(frozen=True)
class SeenView:
    """One camera. All tracks start at the same points.

    picture: RGB uint8 [h, w, 3], or None where there is none. forecasts: by model, [k, T, H, W, 2], pixels of the picture.
    truth: [T, H, W, 2], what really happened, or None.
    """

    name: str
    picture: np.ndarray | None
    forecasts: dict[str, np.ndarray]
    truth: np.ndarray | None = None

    def __post_init__(self):
        if self.picture is not None:
            check_image(self.picture, self.name)
        if not self.all_tracks:
            raise ValueError(f"view {self.name!r} has neither a forecast nor a truth to show")
        shapes = {tracks.shape[-4:] for tracks in self.all_tracks}
        if len(shapes) > 1 or any(len(shape) != 4 or shape[3] != 2 for shape in shapes):
            found = " and ".join(str(shape) for shape in sorted(shapes))
            raise ValueError(f"view {self.name!r}: its tracks are [T, H, W, 2] of {found}, expected one shape for all")
        if not all(np.isfinite(tracks).all() for tracks in self.all_tracks):
            raise ValueError(f"view {self.name!r}: its tracks are not finite numbers")

    @property
    def all_tracks(self) -> list[np.ndarray]:
        """Of every model, and the truth: [..., T, H, W, 2]."""
        return [*self.forecasts.values(), *([] if self.truth is None else [self.truth])]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width); without a picture what the first points fill."""
        if self.picture is not None:
            return self.picture.shape[:2]
        first = self.all_tracks[0].reshape(-1, *self.all_tracks[0].shape[-4:])[0, 0]
        x, y = first.reshape(-1, 2).max(axis=0) + first.reshape(-1, 2).min(axis=0)  # as far from both borders
        return max(1, round(float(y))), max(1, round(float(x)))


@dataclass(frozen=True)
class Scene:
    title: str
    instruction: str
    dt: float  # seconds between two frames
    views: tuple[SeenView, ...]
