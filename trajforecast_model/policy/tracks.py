"""What a policy is told of a forecast: where a few points of each view go, not the dense grid.

Two ways of choosing the points: the cells of a coarse grid, in which the dense grid's points are averaged, and ATM's 32
points (Wen et al. 2024, arXiv 2401.00025: 4 x 4 on 0.05 .. 0.85, then on 0.15 .. 0.95; of each, x varies slowest).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

ATM_POINTS = np.array(
    [
        (x, y)
        for first, last in ((0.05, 0.85), (0.15, 0.95))
        for x in np.linspace(first, last, 4)
        for y in np.linspace(first, last, 4)
    ],
    dtype=np.float32,
)  # [32, xy], 0 to 1 from one border of the image to the other

_UNIT = 8  # displacements are told in eighths of the image, so that usual ones are about 1


@dataclass(frozen=True)
class TrackInputConfig:
    points: Literal["cells", "atm"] = "cells"
    cells: tuple[int, int] = (8, 8)  # rows, columns; read where points are cells
    steps: tuple[int, ...] = (3, 6, 9, 12, 15)  # of the forecast; step 0 is the present
    futures: Literal["medoid", "mean", "both"] = "both"

    def __post_init__(self):
        if not self.steps or min(self.steps) < 1:
            raise ValueError(f"track_input.steps: got {list(self.steps)}, expected steps of the forecast, from 1 on")
        if len(self.cells) != 2 or min(self.cells) < 1:
            raise ValueError(f"track_input.cells: got {list(self.cells)}, expected rows and columns of at least 1")

    @property
    def num_points(self) -> int:
        return self.cells[0] * self.cells[1] if self.points == "cells" else len(ATM_POINTS)

    @property
    def num_futures(self) -> int:
        return 2 if self.futures == "both" else 1

    @property
    def features(self) -> int:
        """Numbers that are told of a point."""
        return self.num_futures * len(self.steps) * 2

    def check_fits(self, num_frames: int, grid: tuple[int, int]) -> None:
        """Raises ValueError where a forecast of so many frames (the present included) and points lacks what is told."""
        if max(self.steps) >= num_frames:
            raise ValueError(
                f"track_input.steps go to {max(self.steps)}, and the forecast's last step is {num_frames - 1}; leave the "
                "later ones out"
            )
        if self.points == "cells" and any(side % cells for side, cells in zip(grid, self.cells, strict=True)):
            raise ValueError(
                f"track_input.cells {list(self.cells)} do not divide the forecast's grid of {list(grid)} points; choose "
                "cells that do"
            )


def told_tracks(
    medoid: np.ndarray, mean: np.ndarray, image_size: tuple[int, int], config: TrackInputConfig
) -> np.ndarray:
    """The displacements of a view's points since step 0.

    Args:
        medoid, mean: [T, H, W, 2], pixels of an image of `image_size` (height, width).

    Returns:
        float32 [points, features], in eighths of the image's width and height.
    """
    config.check_fits(len(medoid), medoid.shape[1:3])
    chosen = {"medoid": (medoid,), "mean": (mean,), "both": (medoid, mean)}[config.futures]
    pick = _averaged if config.points == "cells" else _interpolated
    moved = [pick(tracks[list(config.steps)] - tracks[:1], config) for tracks in chosen]  # [S, P, 2] each
    scale = np.array([_UNIT / image_size[1], _UNIT / image_size[0]], np.float32)
    told = np.stack(moved) * scale  # [F, S, P, 2]
    return told.transpose(2, 0, 1, 3).reshape(config.num_points, -1).astype(np.float32)


def _averaged(moved: np.ndarray, config: TrackInputConfig) -> np.ndarray:
    """[S, H, W, 2] -> [S, P, 2], the mean of each cell."""
    steps, height, width, _ = moved.shape
    rows, columns = config.cells
    cells = moved.reshape(steps, rows, height // rows, columns, width // columns, 2)
    return cells.mean((2, 4)).reshape(steps, -1, 2)


def _interpolated(moved: np.ndarray, _config: TrackInputConfig) -> np.ndarray:
    """[S, H, W, 2] -> [S, P, 2], bilinear between the four points of the dense grid around each of ATM's."""
    size = np.array([moved.shape[2], moved.shape[1]])
    place = np.clip(ATM_POINTS * size - 0.5, 0, size - 1.001)  # in columns and rows of the grid
    corner = place.astype(int)
    right, down = (place - corner).T[..., None]
    x, y = corner.T
    upper = moved[:, y, x] * (1 - right) + moved[:, y, x + 1] * right
    lower = moved[:, y + 1, x] * (1 - right) + moved[:, y + 1, x + 1] * right
    return upper * (1 - down) + lower * down
