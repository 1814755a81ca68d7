"""A field of tracks: the image cut into cells of p x p pixels, each of which carries one track.

Coordinates are TrajLoom's: the centre of the first pixel is 0, normalised 2 x / width - 1. A cell's track begins at its
top-left pixel. Every pixel has an anchor, 2 (x + 1/2) / width - 1, and networks see the track's offset from it: within a
cell the centre's anchor and a ramp that is the same in all cells.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CellGrid:
    image_size: tuple[int, int]  # height, width
    cell: int  # pixels a side

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.image_size[0] // self.cell, self.image_size[1] // self.cell

    def centres(self, device: torch.device | None = None) -> Tensor:
        """Anchors of the cells' centres, float32 [2, rows, columns] as (x, y)."""
        y, x = (2 * (torch.arange(count, device=device) + 0.5) / count - 1 for count in self.shape)
        return torch.stack(torch.meshgrid(x, y, indexing="xy"))

    def ramp(self, device: torch.device | None = None) -> Tensor:
        """Anchors of a cell's pixels less that of its centre, float32 [2, p, p] as (x, y)."""
        steps = 2 * torch.arange(self.cell, device=device) + 1 - self.cell
        height, width = self.image_size
        return torch.stack(torch.meshgrid(steps / width, steps / height, indexing="xy"))

    def anchors(self, device: torch.device | None = None) -> Tensor:
        """Anchors of all pixels, float32 [2, height, width] as (x, y)."""
        rows, columns = self.shape
        return self.spread(self.centres(device)) + self.ramp(device).repeat(1, rows, columns)

    def spread(self, cells: Tensor) -> Tensor:
        """One value a cell to all its pixels: [..., rows, columns] -> [..., height, width]"""
        return cells.repeat_interleave(self.cell, dim=-2).repeat_interleave(self.cell, dim=-1)
