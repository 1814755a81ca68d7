"""How much each place of a window counts in a loss: most of a side view stands still and would drown what moves."""

import torch.nn.functional as F
from torch import Tensor


def place_weights(moving: Tensor, moving_weight: float, equal_windows: bool, grid: tuple[int, int]) -> Tensor:
    """[B, H, W] of bool -> [B, h, w]: 1, and `moving_weight` where a cell of `grid` (h, w) holds a point that moves.

    With `equal_windows` every window's weights average 1, however much of it moves.
    """
    holds_movement = F.adaptive_max_pool2d(moving.float(), grid)
    weight = 1 + (moving_weight - 1) * holds_movement
    return weight / weight.mean(dim=(1, 2), keepdim=True) if equal_windows else weight
