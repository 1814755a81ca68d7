"""The parts that TrajLoom's networks share and ours have otherwise: attention normed by the head or not at all, exact GELU."""

import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.networks import layers
from trajforecast_model.networks.layers import KeysValues, attend, join_heads, split_heads

HEAD_NORM_EPS = 1e-6


class SelfAttention(nn.Module):
    """Multi-head attention of one qkv Linear.

    Args:
        normed: RMSNorm without weights on the queries and keys of every head.
    """

    def __init__(self, dim: int, heads: int, normed: bool):
        super().__init__()
        self.heads = heads
        self.normed = normed
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, D] -> [N, L, D]"""
        queries, keys, values = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        if self.normed:
            queries, keys = _normed_heads(queries), _normed_heads(keys)
        return self.proj(join_heads(attend(queries, keys, values)))


class CrossAttention(nn.Module):
    """Attention to context tokens; their keys and values come ready from `project`."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)

    def project(self, context: Tensor) -> KeysValues:
        """[N, M, D] -> keys and values of these tokens"""
        keys, values = (split_heads(part, self.heads) for part in self.kv(context).chunk(2, dim=-1))
        return KeysValues(_normed_heads(keys).contiguous(), values.contiguous())

    def forward(self, x: Tensor, context: KeysValues) -> Tensor:
        """[N, L, D], N as in the projected context -> [N, L, D]"""
        queries = _normed_heads(split_heads(self.q(x), self.heads))
        return self.proj(join_heads(attend(queries, context.keys, context.values)))


class MLP(layers.MLP):
    """With the exact GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


def _normed_heads(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=HEAD_NORM_EPS)
