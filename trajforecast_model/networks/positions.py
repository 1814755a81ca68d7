"""Fixed sine-cosine tables: positions on a grid (MAE's layout), positions in time, and the flow's timestep."""

import math

import torch
from torch import Tensor


def sincos_1d(positions: Tensor, dim: int) -> Tensor:
    """[sin, cos] of each position at dim/2 frequencies: [N] -> [N, dim]."""
    frequencies = 1.0 / 10000 ** (torch.arange(dim // 2, dtype=torch.float64) / (dim / 2))
    angles = positions.double().reshape(-1, 1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def sincos_2d(grid: tuple[int, int], dim: int) -> Tensor:
    """Column positions in the first half of the channels, row positions in the second: [rows * columns, dim]."""
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    return torch.cat([sincos_1d(columns, dim // 2), sincos_1d(rows, dim // 2)], dim=1)


def timestep_features(t: Tensor, dim: int = 256) -> Tensor:
    """[cos, sin] of the flow time t in [0, 1], unscaled: [...] -> [..., dim]."""
    half = dim // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t.float().unsqueeze(-1) * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
