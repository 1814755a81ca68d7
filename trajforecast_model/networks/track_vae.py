"""Track VAE: dense tracks to a small grid of latents and back, with the image in view (WHN section 3.2)."""

import contextlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import (
    MLP,
    FourierTrackEncoding,
    ImageCrossAttention,
    KeysValues,
    PatchEmbedding,
    RMSNorm,
    SelfAttention,
)
from trajforecast_model.networks.positions import sincos_1d, sincos_2d
from trajforecast_model.networks.tiles import transform_by_tiles
from trajforecast_model.tracks.grid import normalise, query_points


@dataclass(frozen=True)
class TrackVAEConfig:
    num_frames: int = 16
    grid: tuple[int, int] = (64, 64)  # rows, columns of query points
    image_size: tuple[int, int] = (128, 128)  # height, width that the normalised coordinates refer to
    patch_size: int = 4
    temporal_stride: int = 1  # future frames in one latent frame; frame 0 always has a latent frame of its own
    dim: int = 384
    depth: int = 12  # blocks of the encoder, and as many of the decoder
    heads: int = 6
    latent_channels: int = 8
    image_grid: tuple[int, int] = (9, 9)  # rows, columns of image tokens
    image_dim: int = 1024
    image_conditioned: bool = True
    fourier_features: bool = True
    offset_scale: float | None = None  # encode scale * (track - query point) instead of the track (TrajLoom's anchors)

    @property
    def latent_grid(self) -> tuple[int, int]:
        return self.grid[0] // self.patch_size, self.grid[1] // self.patch_size

    @property
    def latent_frames(self) -> int:
        return 1 + -(-(self.num_frames - 1) // self.temporal_stride)

    def __post_init__(self):
        check_at_least(1, self, "patch_size", "temporal_stride", "dim", "depth", "heads", "latent_channels")
        if any(side % self.patch_size for side in self.grid):
            raise ValueError(f"grid {self.grid} is not a multiple of patch_size {self.patch_size}; change one of them")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}; change one of them")


class TrackVAE(nn.Module):
    def __init__(self, config: TrackVAEConfig):
        super().__init__()
        self.config = config
        dim, stride = config.dim, config.temporal_stride
        if config.fourier_features:
            self.track_encoding = FourierTrackEncoding(dim)
            channels = self.track_encoding.channels
        else:
            self.track_encoding = nn.Identity()
            channels = 2
        self.patch_embedding = PatchEmbedding(channels * stride, config.patch_size, dim)
        self.encoder_blocks = nn.ModuleList(self._block(i) for i in range(config.depth))
        self.to_latents = nn.Linear(dim, 2 * config.latent_channels)
        self.from_latents = nn.Linear(config.latent_channels, dim)
        self.decoder_blocks = nn.ModuleList(self._block(i) for i in range(config.depth))
        self.final_linear = nn.Linear(dim, config.patch_size**2 * 2 * stride)
        if config.image_conditioned:
            self.image_projection = nn.Linear(config.image_dim, dim)
            self.register_buffer("image_positions", sincos_2d(config.image_grid, dim), persistent=False)
        self.register_buffer("grid_positions", sincos_2d(config.latent_grid, dim), persistent=False)
        self.register_buffer(
            "time_positions", sincos_1d(torch.arange(config.latent_frames), dim)[:, None], persistent=False
        )
        self.register_buffer("anchors", self._query_points(), persistent=False)  # [2, H, W]
        self._initialise()

    def encode(self, tracks: Tensor, image_tokens: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents.

        Args:
            tracks: [B, T, 2, H, W], normalised (x, y).
            image_tokens: [B, M, D_image] of the first frame; not read where the VAE is not image-conditioned.

        Returns:
            mean, std: [B, T', h * w, C], T' latent frames (T' = T without a temporal stride).
        """
        batch = len(tracks)
        features = self.track_encoding(self._offsets(tracks).flatten(0, 1)).unflatten(0, (batch, -1))
        features = self._group_frames(features)  # [B, T', stride * channels, H, W]
        return self._posterior(self.patch_embedding(features.flatten(0, 1)).unflatten(0, (batch, -1)), image_tokens)

    def encode_static(self, batch: int, image_tokens: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """encode(static_tracks(batch), image_tokens), for which one frame is embedded instead of B * T alike."""
        config = self.config
        frame = self.track_encoding(self._offsets(self.anchors[None]))  # [1, channels, H, W]
        tokens = self.patch_embedding(frame.repeat(1, config.temporal_stride, 1, 1))  # [1, L, D]
        return self._posterior(tokens.repeat(batch, config.latent_frames, 1, 1), image_tokens)

    def _offsets(self, tracks: Tensor) -> Tensor:
        """Tracks as they are encoded: [..., 2, H, W]"""
        scale = self.config.offset_scale
        offsets = tracks if scale is None else (tracks - self.anchors) * scale
        return offsets.to(self.grid_positions.dtype)

    def _posterior(self, x: Tensor, image_tokens: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation from embedded patches [B, T', L, D]."""
        x = x + self.grid_positions
        images = self._project_image(self.encoder_blocks, image_tokens)
        x = self._by_image(x, image_tokens)
        for i, block in enumerate(self.encoder_blocks):
            if i == 1:
                x = x + self.time_positions
            x = block(x, images[i])
        x = x.flatten(0, 1)
        mean, logvar = self.to_latents(x).chunk(2, dim=-1)
        return mean, F.softplus(0.5 * logvar)

    def decode(self, latents: Tensor, image_tokens: Tensor | None = None) -> Tensor:
        """Tracks of unscaled latents: [B, T', h * w, C] -> float32 [B, T, 2, H, W], normalised.

        B may be a multiple of the number of images: the samples of one image stand next to each other.
        """
        config = self.config
        x = self.from_latents(latents)
        images = self._project_image(self.decoder_blocks, image_tokens)
        x = self._by_image(x, image_tokens)
        for block, image in zip(self.decoder_blocks, images, strict=True):
            x = block(x, image)
        x = self._coordinates(x.flatten(0, 1))[:, config.temporal_stride - 1 :][:, : config.num_frames]
        if config.offset_scale is not None:
            x = torch.add(self.anchors.movedim(0, -1), x, alpha=1 / config.offset_scale)
        return x.movedim(-1, 2)

    def _coordinates(self, x: Tensor) -> Tensor:
        """What tokens say of their points, offsets or float32 positions: [N, T', L, D] -> [N, T' * stride, H, W, 2]"""
        p, rows = self.config.patch_size, self.config.latent_grid[0]
        # The frames of a token come first of its numbers here, so that whole rows of points are copied to their places.
        ours = {"s": self.config.temporal_stride, "p": p, "q": p}
        weight = rearrange(self.final_linear.weight, "(p q s c) d -> (s p q c) d", **ours)
        bias = rearrange(self.final_linear.bias, "(p q s c) -> (s p q c)", **ours)
        if self.config.offset_scale is not None:
            x = F.linear(x, weight, bias)
        else:
            # Near the image's border bfloat16 tells a position of 128 pixels to a quarter of one.
            on_shapes_alone = x.device.type == "meta"  # for which there is no autocast
            with contextlib.nullcontext() if on_shapes_alone else torch.autocast(x.device.type, enabled=False):
                x = F.linear(x.float(), weight.float(), bias.float())
        return rearrange(x, "n t (h w) (s p q c) -> n (t s) (h p) (w q) c", h=rows, **ours)

    def _apply(self, fn, recurse: bool = True):
        """Takes the module to another device or precision; the query points stay float32."""
        super()._apply(fn, recurse)
        self.anchors = self._query_points().to(self.anchors.device)
        return self

    def _query_points(self) -> Tensor:
        """Where the tracks begin, normalised, float32 [2, H, W]; x and y of a point are neighbours, as in decoded tracks."""
        size = self.config.image_size
        return normalise(torch.from_numpy(query_points(self.config.grid, size)), size).movedim(-1, 0)

    def static_tracks(self, batch: int) -> Tensor:
        """Query points that never move: [B, T, 2, H, W], normalised."""
        return self.anchors.expand(batch, self.config.num_frames, -1, -1, -1)

    def _group_frames(self, features: Tensor) -> Tensor:
        # Frame 0 is repeated in front and the last frame at the end, so that every group is full.
        stride = self.config.temporal_stride
        if stride == 1:
            return features
        missing = self.config.latent_frames * stride - (self.config.num_frames + stride - 1)
        front = features[:, :1].expand(-1, stride - 1, -1, -1, -1)
        back = features[:, -1:].expand(-1, missing, -1, -1, -1)
        padded = torch.cat([front, features, back], dim=1)
        return rearrange(padded, "b (t s) c h w -> b t (s c) h w", s=stride)

    def _project_image(self, blocks: nn.ModuleList, image_tokens: Tensor | None) -> list[KeysValues | None]:
        if not self.config.image_conditioned:
            return [None] * len(blocks)
        if image_tokens is None:
            raise ValueError("this track VAE is conditioned on the image: pass image_tokens [B, M, D]")
        tokens = self.image_projection(image_tokens) + self.image_positions
        return [block.cross_attention.project(tokens) for block in blocks]

    def _by_image(self, x: Tensor, image_tokens: Tensor | None) -> Tensor:
        """[B, T', L, D] -> [N, B / N, T', L, D] of N images, or of one where images do not matter."""
        return x.unflatten(0, (len(image_tokens) if self.config.image_conditioned else 1, -1))

    def _block(self, index: int) -> "TrackVAEBlock":
        return TrackVAEBlock(self.config, over_time=index % 2 == 1)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.final_linear.weight)


class TrackVAEBlock(nn.Module):
    """Self-attention over space or time, cross-attention to the image, MLP; three learned gates that start at zero."""

    def __init__(self, config: TrackVAEConfig, over_time: bool):
        super().__init__()
        dim = config.dim
        self.over_time = over_time
        self.norm1 = RMSNorm(dim, eps=1e-6)
        self.attention = SelfAttention(dim, config.heads)
        self.gate_attention = nn.Parameter(torch.zeros(1, 1, dim))
        if config.image_conditioned:
            self.norm2 = RMSNorm(dim, eps=1e-6)
            self.cross_attention = ImageCrossAttention(dim, config.heads)
            self.gate_cross_attention = nn.Parameter(torch.zeros(1, 1, dim))
        self.norm3 = RMSNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, 4 * dim, dim)
        self.gate_mlp = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor, image: KeysValues | None) -> Tensor:
        """[N, S, T, L, D], overwritten in inference; keys and values of the N images -> [N, S, T, L, D]"""
        return transform_by_tiles(self._transform, x, self.over_time, image)

    def _transform(self, x: Tensor, image: KeysValues | None, _modulation: None = None) -> Tensor:
        """x [N, S, frames, positions, D], or [N, S, positions, frames, D] in a block over time"""
        x = torch.addcmul(x, self.gate_attention, self.attention(self.norm1(x).flatten(0, 2)).view_as(x))
        if image is not None:
            queries = self.norm2(x).flatten(1, 3)  # [N, S * T * L, D]: the samples of an image share its keys
            x = torch.addcmul(x, self.gate_cross_attention, self.cross_attention(queries, image).view_as(x))
        return torch.addcmul(x, self.gate_mlp, self.mlp(self.norm3(x)))
