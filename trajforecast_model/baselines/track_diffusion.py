"""Track2Act's network (arXiv 2405.01527) as WHN compares with it: a DiT over whole tracks of a fixed grid of points.

A token is one point's track. The image enters as a single vector from a ResNet, added to the embeddings of the noise
level and of the instruction, and modulates every block. No goal image: here, nothing tells how the scene will look.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trajforecast_model.baselines.ddpm import LEVELS
from trajforecast_model.baselines.resnet import ResNet
from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import MLP, attend
from trajforecast_model.networks.positions import sincos_2d, timestep_features


@dataclass(frozen=True)
class TrackDiffusionConfig:
    dim: int = 1152
    depth: int = 28
    heads: int = 16
    resnet_width: int = 64
    grid: tuple[int, int] = (32, 32)  # rows, columns of the fixed points
    num_frames: int = 16  # the present one included
    image_size: tuple[int, int] = (128, 128)  # height, width
    text_dim: int = 768
    sampling_steps: int = 50  # of the 1,000 levels
    first_level: int = LEVELS - 1  # that sampling begins at; see ddpm.sample
    motion_scale: float | None = None  # diffuse motion_scale * (track - point), not positions as Track2Act (ours)

    def __post_init__(self):
        check_at_least(1, self, "dim", "depth", "heads")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}; change one of them")
        if not 1 <= self.sampling_steps <= LEVELS:
            raise ValueError(f"sampling_steps: got {self.sampling_steps}, expected 1 to {LEVELS}")
        if not 0 <= self.first_level < LEVELS:
            raise ValueError(f"first_level: got {self.first_level}, expected 0 to {LEVELS - 1}")
        if self.motion_scale is not None:
            check_at_least(1, self, "motion_scale")


class TrackDiffusion(nn.Module):
    def __init__(self, config: TrackDiffusionConfig):
        super().__init__()
        self.config = config
        dim = config.dim
        self.resnet = ResNet(config.resnet_width)
        self.image_projection = nn.Linear(self.resnet.dim, dim)
        self.text_projection = nn.Linear(config.text_dim, dim)
        self.level_embedding = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.track_embedding = nn.Linear(2 * config.num_frames, dim)
        self.blocks = nn.ModuleList(_Block(dim, config.heads) for _ in range(config.depth))
        self.final_norm = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.final_modulation = nn.Linear(dim, 2 * dim)
        self.final_linear = nn.Linear(dim, 2 * config.num_frames)
        self.register_buffer("positions", sincos_2d(config.grid, dim), persistent=False)
        for zero in (self.final_modulation, self.final_linear, *(block.modulation for block in self.blocks)):
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)

    def diffused(self, tracks: Tensor) -> Tensor:
        """Normalised tracks [B, T, P, 2] as what noise is added to; frame 0, which is known, stays as it is."""
        scale, first = self.config.motion_scale, tracks[:, :1]
        return tracks if scale is None else torch.cat([first, scale * (tracks[:, 1:] - first)], dim=1)

    def positions_of(self, diffused: Tensor, first: Tensor) -> Tensor:
        """The inverse, of the unknown frames: [B, T - 1, P, 2] and frame 0 [B, 1, P, 2] to normalised tracks."""
        scale = self.config.motion_scale
        return diffused if scale is None else first + diffused / scale

    @property
    def largest(self) -> float:
        """Of what is diffused: what lies further out than half an image is no forecast of any use."""
        return 2.0 * (self.config.motion_scale or 1.0)

    def condition(self, images: Tensor, text_embedding: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] and [B, E] -> [B, D], which serves every sample and noise level."""
        return self.image_projection(self.resnet(images)) + self.text_projection(text_embedding)

    def forward(self, tracks: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """The noise in noisy tracks.

        Args:
            tracks: [B, T, P, 2] as `diffused` gives them, P points in the grid's order; frame 0 is known and clean.
            level: int [B], noise level.
            condition: [B, D]

        Returns:
            [B, T, P, 2]; what stands in frame 0 has no meaning.
        """
        frames = tracks.shape[1]
        level_features = timestep_features(level).to(condition.dtype)
        modulation = nn.functional.silu(condition + self.level_embedding(level_features))
        x = self.track_embedding(tracks.transpose(1, 2).flatten(2)) + self.positions
        for block in self.blocks:
            x = block(x, modulation)
        shift, scale = self.final_modulation(modulation).unsqueeze(1).chunk(2, dim=-1)
        x = self.final_linear(self.final_norm(x) * (1 + scale) + shift)
        return x.unflatten(2, (frames, 2)).transpose(1, 2)


class _Block(nn.Module):
    """DiT's block with adaLN-Zero (arXiv 2212.09748)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(dim, 6 * dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.mlp = MLP(dim, 4 * dim, dim)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """[B, L, D], [B, D] -> [B, L, D]"""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(modulation).unsqueeze(1).chunk(6, dim=-1)
        x = x + gate * self._attend(self.norm(x) * (1 + scale) + shift)
        return x + mlp_gate * self.mlp(self.norm(x) * (1 + mlp_scale) + mlp_shift)

    def _attend(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [3, B, heads, L, d]
        return self.proj(attend(*heads).transpose(1, 2).flatten(2))
