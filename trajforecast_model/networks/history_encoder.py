"""Where the points of the present were before, as one token a cell of the denoiser's grid.

TrajLoom fuses history and future cell by cell (arXiv 2603.22606, section 4); its own networks, which encode the past by
their track VAE, are in networks/trajloom/. Here the past enters as it is, so that hidden and lost points can be left out
one by one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import EncoderBlock, PatchEmbedding, RMSNorm
from trajforecast_model.networks.positions import sincos_2d

# The velocity at any age comes of differences of positions, which a linear layer takes; it has to see them well scaled.
OFFSET_SCALE = 8.0


@dataclass(frozen=True)
class HistoryConfig:
    frames: int  # before the present one
    grid: tuple[int, int] = (64, 64)  # rows, columns of query points
    pooling: int = 2  # points a side whose visible ones are averaged
    depth: int = 1  # blocks over the cells of the grid
    last_motion: bool = False  # also show the last motion going on, as latents (last_motion.py)

    def __post_init__(self):
        check_at_least(1, self, "frames", "pooling", group="history.")
        check_at_least(0, self, "depth", group="history.")


class PastTracks(NamedTuple):
    """Where the query points of N images were, oldest first."""

    offsets: Tensor  # [N, frames, 2, rows, columns], positions minus query points, normalised
    visible: Tensor  # [N, frames, rows, columns], true or false; where false, offsets are not read
    last_motion: Tensor | None = None  # [N, T - 1, C, h, w] latents, see last_motion.py; for a model that takes it


class HistoryEncoder(nn.Module):
    """
    Args:
        tokens: rows, columns of the cells; the points' rows and columns are a multiple of them, equal for both.
    """

    def __init__(self, config: HistoryConfig, tokens: tuple[int, int], dim: int, heads: int):
        super().__init__()
        patch = config.grid[0] // (tokens[0] * config.pooling)
        if patch < 1 or tuple(config.grid) != tuple(side * patch * config.pooling for side in tokens):
            raise ValueError(
                f"history.grid {tuple(config.grid)} is not a whole number of square cells of {config.pooling} x "
                f"{config.pooling} points in each of the denoiser's {tuple(tokens)} tokens; change denoiser.patch_size or "
                "history.pooling"
            )
        self.config = config
        self.patch_embedding = PatchEmbedding(3 * config.frames, patch, dim)  # x, y, visible of each frame
        self.blocks = nn.ModuleList(EncoderBlock(dim, heads) for _ in range(config.depth))
        self.final_norm = RMSNorm(dim, eps=1e-6, elementwise_affine=False)
        self.register_buffer("positions", sincos_2d(tokens, dim), persistent=False)

    def forward(self, past: PastTracks) -> Tensor:
        """Tokens [N, L, D]."""
        visible = past.visible[:, :, None] > 0
        seen = torch.where(visible, past.offsets * OFFSET_SCALE, 0)
        points = torch.cat([seen, visible.to(seen.dtype)], dim=2).flatten(0, 1)  # [N * frames, 3, rows, columns]
        pooled = F.avg_pool2d(points, self.config.pooling)
        share = pooled[:, 2:]
        mean = pooled[:, :2] / share.clamp(min=self.config.pooling**-2)
        cells = torch.cat([mean, share], dim=1).unflatten(0, (len(visible), -1)).flatten(1, 2)
        tokens = self.patch_embedding(cells.to(self.positions.dtype))
        tokens = tokens + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.final_norm(tokens)
