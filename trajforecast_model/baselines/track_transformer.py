"""ATM's track transformer (arXiv 2401.00025): one deterministic future for each of 32 query points. Tra-MoE's, too.

Image patches, pieces of tracks and the instruction are tokens of one transformer. A track comes in as its query point
repeated over all frames and goes out as positions; image patches, some of them masked, go out as pixels, which is an
auxiliary task. Dimensions and layout follow the paper's published configuration. Tra-MoE (arXiv 2411.14519) is the same
network with a mixture of experts in place of the MLP of its first, middle and last block.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from trajforecast_model.baselines.mixture import MixtureOfExperts
from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import attend
from trajforecast_model.networks.positions import sincos_1d, sincos_2d


@dataclass(frozen=True)
class TrackTransformerConfig:
    dim: int = 384
    depth: int = 8
    heads: int = 8
    image_patch: int = 16  # pixels a side of an image token
    track_patch: int = 4  # frames of a track token
    num_points: int = 32  # query points that are forecast together
    num_frames: int = 16  # the present one included
    image_size: tuple[int, int] = (128, 128)  # height, width
    text_dim: int = 768
    dropout: float = 0.2
    experts: int = 0  # of the three mixtures; 0 for ATM, which has none, 4 for Tra-MoE
    normalised_keys: bool = False  # keys and values of the normalised tokens, not of the tokens as ATM's code has them
    predict_motion: bool = False  # output motion from the query point instead of the position (not ATM's)

    def __post_init__(self):
        check_at_least(1, self, "dim", "depth", "heads", "image_patch", "track_patch", "num_points")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}; change one of them")
        if self.num_frames % self.track_patch:
            raise ValueError(f"num_frames {self.num_frames} is not a multiple of track_patch {self.track_patch}")
        if self.experts < 0 or self.experts == 1:
            raise ValueError(f"experts: got {self.experts}, expected 0 or at least 2")
        if any(side % self.image_patch for side in self.image_size):
            raise ValueError(f"image_size {self.image_size} is not a multiple of image_patch {self.image_patch}")

    @property
    def image_grid(self) -> tuple[int, int]:
        return self.image_size[0] // self.image_patch, self.image_size[1] // self.image_patch

    @property
    def mixture_blocks(self) -> set[int]:
        return {0, self.depth // 2, self.depth - 1} if self.experts else set()


class TrackTransformerOutput(NamedTuple):
    tracks: Tensor  # [B, T, N, 2], 0 to 1 from one image border to the other
    patches: Tensor  # [B, M, 3 * p * p], as `TrackTransformer.patchify` has them
    gate_size: Tensor  # scalar, mean over the mixtures; 0 without any


class TrackTransformer(nn.Module):
    def __init__(self, config: TrackTransformerConfig):
        super().__init__()
        self.config = config
        dim, patch, frames = config.dim, config.image_patch, config.track_patch
        self.track_embedding = nn.Conv1d(2, dim, kernel_size=frames, stride=frames)
        self.image_embedding = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)
        self.text_projection = nn.Linear(config.text_dim, dim)
        self.mask_token = nn.Parameter(torch.randn(dim))
        self.time_positions = nn.Parameter(sincos_1d(torch.arange(config.num_frames // frames), dim)[:, None])
        self.register_buffer("image_positions", sincos_2d(config.image_grid, dim), persistent=False)
        self.blocks = nn.ModuleList(_Block(config, number in config.mixture_blocks) for number in range(config.depth))
        self.track_head = nn.Linear(dim, 2 * frames)
        self.image_head = nn.Linear(dim, 3 * patch**2)

    def forward(
        self, images: Tensor, points: Tensor, text_embedding: Tensor, masked: Tensor | None = None
    ) -> TrackTransformerOutput:
        """Futures of the query points, and the image again.

        Args:
            images: [B, 3, H, W] in [-1, 1].
            points: [B, N, 2] query points (x, y), 0 to 1 from one image border to the other.
            text_embedding: [B, E]
            masked: bool [B, M], image tokens to hide; None hides none.
        """
        image_tokens = self.image_embedding(images).flatten(2).transpose(1, 2)
        if masked is not None:
            image_tokens = torch.where(masked[..., None], self.mask_token.to(image_tokens.dtype), image_tokens)
        image_tokens = image_tokens + self.image_positions
        track_tokens = self._embed_still(points)
        num_tracks, num_patches = track_tokens.shape[1], image_tokens.shape[1]
        x = torch.cat([track_tokens, image_tokens, self.text_projection(text_embedding).unsqueeze(1)], dim=1)
        gate_sizes = []
        for block in self.blocks:
            x, gate_size = block(x)
            gate_sizes += [] if gate_size is None else [gate_size]
        tracks = self.track_head(x[:, :num_tracks])
        tracks = rearrange(tracks, "b (t n) (p c) -> b (t p) n c", n=points.shape[1], c=2)
        if self.config.predict_motion:
            tracks = points[:, None] + tracks
        patches = self.image_head(x[:, num_tracks : num_tracks + num_patches])
        return TrackTransformerOutput(
            tracks, patches, torch.stack(gate_sizes).mean() if gate_sizes else x.new_zeros(())
        )

    def patchify(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, M, 3 * p * p], what the patches of the output should be."""
        patch = self.config.image_patch
        return rearrange(images, "b c (h p) (w q) -> b (h w) (p q c)", p=patch, q=patch)

    def _embed_still(self, points: Tensor) -> Tensor:
        """Tokens of tracks that stay at their query points: [B, N, 2] -> [B, T / p * N, D]."""
        still = points.flatten(0, 1).unsqueeze(-1).expand(-1, -1, self.config.num_frames)  # [B * N, 2, T]
        tokens = rearrange(self.track_embedding(still), "(b n) d t -> b t n d", b=len(points))
        return (tokens + self.time_positions).flatten(1, 2)


class _Block(nn.Module):
    def __init__(self, config: TrackTransformerConfig, mixture: bool):
        super().__init__()
        self.attention = _SharedKeyAttention(config)
        self.mixture = MixtureOfExperts(config.dim, config.experts, config.dropout) if mixture else None
        self.mlp = None if mixture else _FeedForward(config.dim, config.dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """[B, L, D] -> the same, and what the mixture says of its gate."""
        x = x + self.attention(x)
        if self.mixture is None:
            return x + self.mlp(x), None
        change, gate_size = self.mixture(x)
        return x + change, gate_size


class _SharedKeyAttention(nn.Module):
    """Self-attention whose heads share one key and one value, without biases; queries come of normalised tokens."""

    def __init__(self, config: TrackTransformerConfig):
        super().__init__()
        dim, heads = config.dim, config.heads
        self.heads, self.dropout, self.normalised_keys = heads, config.dropout, config.normalised_keys
        self.norm = nn.LayerNorm(dim, bias=False)
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * (dim // heads), bias=False)
        self.proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]"""
        normalised = self.norm(x)
        queries = rearrange(self.q(normalised), "b l (h d) -> b 1 (h l) d", h=self.heads)  # as of one head
        keys_values = self.kv(normalised if self.normalised_keys else x)
        keys, values = keys_values.unsqueeze(1).chunk(2, dim=-1)
        attended = attend(queries, keys, values, self.dropout if self.training else 0.0)
        x = self.proj(rearrange(attended, "b 1 (h l) d -> b l (h d)", h=self.heads))
        return nn.functional.dropout(x, self.dropout, self.training)


class _FeedForward(nn.Sequential):
    def __init__(self, dim: int, dropout: float):
        super().__init__(
            nn.LayerNorm(dim, bias=False),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * dim, dim),
            nn.Dropout(dropout),
        )
