"""Query grids and the two coordinate systems of tracks. Works on numpy arrays and torch tensors alike.

Pixels: x right, y down, (0, 0) is the corner of the top-left pixel and (0.5, 0.5) its centre.
Normalised: [-1, 1] from one image border to the other, x = 2 * x_px / width - 1.
"""

import numpy as np


def query_points(grid: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Pixel positions of a regular grid of query points, float32 [H, W, 2] as (x, y).

    The points are the centres of every n-th pixel: 1.5, 3.5 ... 127.5 for 64 points on 128 pixels (WHN section D.4).

    Args:
        grid: (rows, columns) of query points.
        image_size: (height, width) in pixels.
    """
    (rows, columns), (height, width) = grid, image_size
    x = np.arange(columns) * (width / columns) + width // columns // 2 + 0.5
    y = np.arange(rows) * (height / rows) + height // rows // 2 + 0.5
    return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)


def normalise(tracks, image_size: tuple[int, int]):
    """Pixels [..., 2] to normalised coordinates, for an image of (height, width)."""
    height, width = image_size
    return _xy(tracks, tracks[..., 0] * (2 / width) - 1, tracks[..., 1] * (2 / height) - 1)


def denormalise(tracks, image_size: tuple[int, int]):
    """Normalised coordinates [..., 2] to pixels of an image of (height, width)."""
    height, width = image_size
    return _xy(tracks, (tracks[..., 0] + 1) * (width / 2), (tracks[..., 1] + 1) * (height / 2))


def rescale(tracks, from_size: tuple[int, int], to_size: tuple[int, int]):
    """Pixels [..., 2] of an image of `from_size` (height, width) to pixels of the same image at `to_size`."""
    return _xy(tracks, tracks[..., 0] * (to_size[1] / from_size[1]), tracks[..., 1] * (to_size[0] / from_size[0]))


def _xy(like, x, y):
    # An axis at a time: broadcasting over a last axis of two is ten times slower.
    if isinstance(like, np.ndarray):
        return np.stack([x, y], axis=-1)
    import torch  # only for those who pass tensors: readers of messages need no PyTorch

    return torch.stack([x, y], dim=-1)
