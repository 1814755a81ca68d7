"""The parts that the networks share: attention, cross-attention to the image, MLP, blocks of both, patches."""

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class KeysValues(NamedTuple):
    """Projected image tokens, [N, heads, M, head_dim] each. Made once an image, used by every frame, sample and step."""

    keys: Tensor
    values: Tensor


class RMSNorm(nn.RMSNorm):
    """RMSNorm whose weight follows the input's precision: under autocast the mixed kernel is several times slower."""

    def forward(self, x: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(x.dtype)
        return F.rms_norm(x, self.normalized_shape, weight, self.eps)


class _Attention(nn.Module):
    """The weights of both kinds of attention: RMSNorm on the full width of queries and keys."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.q_norm = RMSNorm(dim, eps=1e-5)
        self.k_norm = RMSNorm(dim, eps=1e-5)
        self.proj = nn.Linear(dim, dim)


class SelfAttention(_Attention):
    """Multi-head attention with RMSNorm on the full width of queries and keys."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, D] -> [N, L, D]"""
        keys, values = self.kv(x).chunk(2, dim=-1)
        if x.shape[1] == 1:  # a token alone attends to itself
            return self.proj(values)
        queries, keys = self.q_norm(self.q(x)), self.k_norm(keys)
        attended = attend(*(split_heads(x, self.heads) for x in (queries, keys, values)))
        return self.proj(join_heads(attended))


class ImageCrossAttention(_Attention):
    """Attention from track tokens to image tokens; keys and values come ready from `project`."""

    def project(self, image_tokens: Tensor) -> KeysValues:
        """[N, M, D] -> keys and values of these images"""
        keys, values = self.kv(image_tokens).chunk(2, dim=-1)
        keys, values = (split_heads(x, self.heads).contiguous() for x in (self.k_norm(keys), values))
        return KeysValues(keys, values)  # copied once here rather than at each use

    def forward(self, x: Tensor, image: KeysValues) -> Tensor:
        """[N, L, D], N as in the projected images -> [N, L, D]"""
        queries = split_heads(self.q_norm(self.q(x)), self.heads)
        return self.proj(join_heads(attend(queries, image.keys, image.values)))


class MLP(nn.Module):
    def __init__(self, dim_in: int, dim_hidden: int, dim_out: int):
        super().__init__()
        self.fc1 = nn.Linear(dim_in, dim_hidden)
        self.fc2 = nn.Linear(dim_hidden, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(_linear_gelu(x, self.fc1))


class EncoderBlock(nn.Module):
    """Self-attention over all tokens, then an MLP, both after a norm."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm1 = RMSNorm(dim, eps=1e-6)
        self.attention = SelfAttention(dim, heads)
        self.norm2 = RMSNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, 4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, D] -> [N, L, D]"""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """Non-overlapping patches to tokens."""

    def __init__(self, channels: int, patch_size: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, H/p * W/p, D]"""
        return self.proj(x).flatten(2).transpose(1, 2)


def unpatchify(tokens: Tensor, patch_size: int, rows: int) -> Tensor:
    """[N, rows * columns, p * p * C] -> [N, C, rows * p, columns * p]"""
    return rearrange(
        tokens, "n (h w) (p q c) -> n c (h p) (w q)", h=rows, p=patch_size, q=patch_size
    )  # fmt: skip


class FourierTrackEncoding(nn.Module):
    """Fourier features of a position through an MLP, beside the position itself: 2 -> 130 channels at the default size."""

    def __init__(self, dim: int, frequencies: int = 64):
        super().__init__()
        features = 2 * frequencies
        self.register_buffer("w", torch.randn(frequencies, 2))  # drawn once, never trained
        self.mlp = nn.Sequential(nn.Linear(features, 4 * dim), nn.GELU(), nn.Linear(4 * dim, features))
        self.channels = features + 2

    def forward(self, tracks: Tensor) -> Tensor:
        """[N, 2, H, W] normalised -> [N, 130, H, W]"""
        positions = tracks.movedim(1, -1)
        angles = positions @ self.w.T
        features = torch.cat([angles.cos(), angles.sin()], dim=-1) / (2 * self.w.shape[0]) ** 0.5
        return torch.cat([positions, self.mlp(features)], dim=-1).movedim(-1, 1)


def attend(queries: Tensor, keys: Tensor, values: Tensor, dropout: float = 0.0) -> Tensor:
    """Softmax attention: [N, heads, L, d], keys and values [N, heads, M, d] -> [N, heads, L, d]"""
    if queries.dtype != torch.bfloat16 or queries.device.type != "cpu" or dropout > 0:
        return F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout)
    # PyTorch's fused bfloat16 kernel for CPUs takes 1.3 to 1.9 times as long as these plain products, backwards 1.4 to 12.
    batch, scale = queries.shape[:2], queries.shape[-1] ** -0.5
    queries, keys, values = (x.flatten(0, 1) for x in (queries, keys, values))
    weights = torch.baddbmm(queries.new_empty(1), queries, keys.transpose(1, 2), beta=0, alpha=scale).softmax(dim=-1)
    return torch.bmm(weights.to(values.dtype), values).unflatten(0, batch)


def _linear_gelu(x: Tensor, linear: nn.Linear) -> Tensor:
    """tanh-GELU of a linear layer."""
    if not _is_cpu_inference(x) or not _has_fused_linear_gelu(x.dtype):
        return F.gelu(linear(x), approximate="tanh")
    return _fused_linear_gelu(x, linear.weight, linear.bias)


def _fused_linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    # What torch.compile makes of the two; apart, the GELU takes as long as a quarter of the matrix product.
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu", [], "tanh")


@cache
def _has_fused_linear_gelu(dtype: torch.dtype) -> bool:
    """Whether this PyTorch, on this processor, has the operation: it is not part of the public interface."""
    x, weight, bias = torch.full((2, 8), 0.5, dtype=dtype), torch.eye(8, dtype=dtype), torch.zeros(8, dtype=dtype)
    try:
        fused = _fused_linear_gelu(x, weight, bias)
    except (AttributeError, RuntimeError):
        return False
    return torch.allclose(fused, F.gelu(x, approximate="tanh"), rtol=1e-2)


def _is_cpu_inference(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[N, L, heads * d] -> [N, heads, L, d]"""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[N, heads, L, d] -> [N, L, heads * d]"""
    return x.transpose(1, 2).flatten(2)
