"""The policy's network: queries, one for each action of a chunk, look at the tokens of the pictures and of the tracks.

The robot's joints and the instruction are tokens of their own among the queries. Every round of looking has the same
weights (Perceiver, Jaegle et al. 2021), so that the many tokens are projected once. Only tensors in, tensors out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import MLP, EncoderBlock, ImageCrossAttention, RMSNorm


@dataclass(frozen=True)
class PolicySizeConfig:
    dim: int = 128
    depth: int = 3  # rounds of looking at the tokens
    heads: int = 4
    dropout: float = 0.1

    def __post_init__(self):
        check_at_least(1, self, "dim", "depth", "heads", group="network.")
        check_at_least(0, self, "dropout", group="network.")
        if self.dim % self.heads:
            raise ValueError(f"network.dim {self.dim} does not divide into network.heads {self.heads}")


@dataclass(frozen=True)
class PolicyNetworkConfig:
    size: PolicySizeConfig
    views: int
    image_tokens: int  # of a view
    image_dim: int
    track_points: int  # of a view; 0 for a policy without tracks
    track_features: int  # of a point
    text_dim: int
    proprioception: int = 9  # seven joints, two fingers
    actions: int = 7  # position, rotation, gripper
    chunk: int = 16


class PolicyNetwork(nn.Module):
    """The statistics of its data are part of it: proprioception comes in and actions go out in the robot's own numbers."""

    def __init__(self, config: PolicyNetworkConfig):
        super().__init__()
        self.config = config
        dim = config.size.dim
        self.image_embedding = nn.Linear(config.image_dim, dim)
        self.image_positions = _learned(config.views, config.image_tokens, dim)
        if config.track_points:
            self.track_embedding = nn.Linear(config.track_features, dim)
            self.track_positions = _learned(config.views, config.track_points, dim)
        self.proprioception_embedding = MLP(config.proprioception, dim, dim)
        self.text_embedding = nn.Linear(config.text_dim, dim)
        self.queries = _learned(config.chunk, dim)
        self.memory_norm = RMSNorm(dim, eps=1e-6)
        self.look = ImageCrossAttention(dim, config.size.heads)
        self.look_norms = nn.ModuleList(RMSNorm(dim, eps=1e-6) for _ in range(config.size.depth))
        self.blocks = nn.ModuleList(EncoderBlock(dim, config.size.heads) for _ in range(config.size.depth))
        self.dropout = nn.Dropout(config.size.dropout)
        self.norm = RMSNorm(dim, eps=1e-6)
        self.to_actions = nn.Linear(dim, config.actions)
        for name, size in (("proprioception", config.proprioception), ("action", config.actions)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def forward(self, image_tokens: Tensor, tracks: Tensor | None, proprioception: Tensor, text: Tensor) -> Tensor:
        """The next actions, normalised; `denormalised` makes them the robot's.

        Args:
            image_tokens: [B, V, M, D]
            tracks: [B, V, P, F] of `told_tracks`; None for a policy without.
            proprioception: [B, 9], radians of the joints, metres of the fingers.
            text: [B, E]

        Returns:
            [B, chunk, 7]
        """
        memory = (self.image_embedding(image_tokens) + self.image_positions).flatten(1, 2)
        if self.config.track_points:
            of_tracks = (self.track_embedding(tracks) + self.track_positions).flatten(1, 2)
            memory = torch.cat([memory, of_tracks], dim=1)
        seen = self.look.project(self.memory_norm(self.dropout(memory)))
        body = self.proprioception_embedding((proprioception - self.proprioception_mean) / self.proprioception_scale)
        known = torch.stack([body, self.text_embedding(text)], dim=1)  # [B, 2, dim]
        x = torch.cat([self.queries.expand(len(memory), -1, -1), known], dim=1)
        for norm, block in zip(self.look_norms, self.blocks, strict=True):
            x = x + self.dropout(self.look(norm(x), seen))
            x = block(x)
        return self.to_actions(self.norm(x[:, : self.config.chunk]))

    def normalised(self, actions: Tensor) -> Tensor:
        return (actions - self.action_mean) / self.action_scale

    def denormalised(self, actions: Tensor) -> Tensor:
        return actions * self.action_scale + self.action_mean


def _learned(*shape: int) -> nn.Parameter:
    return nn.Parameter(0.02 * torch.randn(shape))
