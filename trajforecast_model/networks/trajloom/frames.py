"""Latent steps of several frames: convolutions over time between one token a frame and one a latent step.

Latent step k is centred on frame stride * k. The ends are continued by what stands there.
"""

import torch.nn.functional as F
from torch import Tensor, nn


def latent_steps(frames: int, stride: int) -> int:
    return 1 + (frames - 1) // stride


def seen_in_latent_steps(visible: Tensor, stride: int) -> Tensor:
    """Whether a point is seen in any frame of a latent step, those from stride * k on: [B, T, N] -> bool [B, T', N]"""
    missing = latent_steps(visible.shape[1], stride) * stride - visible.shape[1]
    padded = F.pad(visible.bool(), (0, 0, 0, missing))
    return padded.unflatten(1, (-1, stride)).any(dim=2)


def to_frames(per_step: Tensor, stride: int, frames: int) -> Tensor:
    """The value of a latent step for all its frames: [B, T', ...] -> [B, T, ...]"""
    return per_step.repeat_interleave(stride, dim=1)[:, :frames]


class Compression(nn.Module):
    """One token a frame to one a latent step."""

    def __init__(self, dim: int, kernel: int, stride: int):
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, L, D] -> [B, T', L, D]"""
        padded = _continued(_time_last(x), self.conv.kernel_size[0] // 2)
        return _time_second(self.conv(padded), len(x))


class Expansion(nn.Module):
    """One token a latent step to one a frame."""

    def __init__(self, dim: int, kernel: int, stride: int, frames: int):
        super().__init__()
        self.frames = frames
        self.conv = nn.ConvTranspose1d(dim, dim, kernel, stride, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T', L, D] -> [B, T, L, D]"""
        ends = self.conv.kernel_size[0] // 2
        expanded = self.conv(_continued(_time_last(x), ends))
        start = ends * self.conv.stride[0]
        return _time_second(expanded[..., start : start + self.frames], len(x))


def _time_last(x: Tensor) -> Tensor:
    """[B, T, L, D] -> [B * L, D, T]"""
    return x.permute(0, 2, 3, 1).flatten(0, 1)


def _time_second(x: Tensor, batch: int) -> Tensor:
    """[B * L, D, T] -> [B, T, L, D]"""
    return x.unflatten(0, (batch, -1)).permute(0, 3, 1, 2).contiguous()


def _continued(x: Tensor, count: int) -> Tensor:
    return F.pad(x, (count, count), mode="replicate")
