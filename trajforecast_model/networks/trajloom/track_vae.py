"""TrajLoom's track VAE: a field of tracks to a latent for each cell and every few frames, and back (arXiv 2603.22606).

Cells carry one track each and only their top-left pixels are read back. So `encode` and `decode` of one point a cell need
no field: the patch convolution is a Linear from the two coordinates, and of the last layer two rows are enough.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import KeysValues, PatchEmbedding, RMSNorm
from trajforecast_model.networks.positions import sincos_1d, sincos_2d
from trajforecast_model.networks.tiles import transform_by_tiles
from trajforecast_model.networks.trajloom.cells import CellGrid
from trajforecast_model.networks.trajloom.frames import Compression, Expansion, latent_steps
from trajforecast_model.networks.trajloom.layers import MLP, SelfAttention


@dataclass(frozen=True)
class TrajloomVAEConfig:
    num_frames: int = 81
    image_size: tuple[int, int] = (480, 832)  # height, width that the normalised coordinates refer to
    patch_size: int = 32  # pixels a side of a cell
    temporal_stride: int = 4  # frames between latent steps
    temporal_kernel: int = 7  # frames that a latent step is made of
    dim: int = 512
    depth: int = (
        16  # blocks of the encoder, and as many of the decoder; half of them work on frames, half on latent steps
    )
    heads: int = 8
    latent_channels: int = 16
    position_frequencies: int = 32  # of the Fourier features of the cells' places
    anchored: bool = True  # tracks as offsets from the anchors of their pixels; false: as they are

    @property
    def cells(self) -> CellGrid:
        return CellGrid(self.image_size, self.patch_size)

    @property
    def latent_frames(self) -> int:
        return latent_steps(self.num_frames, self.temporal_stride)

    def __post_init__(self):
        check_at_least(1, self, "num_frames", "patch_size", "temporal_stride", "temporal_kernel", "dim", "depth")
        check_at_least(1, self, "heads", "latent_channels", "position_frequencies")
        if any(side % self.patch_size for side in self.image_size):
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}; change one of them"
            )
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}; change one of them")
        if self.temporal_kernel % 2 == 0:
            raise ValueError(f"temporal_kernel: got {self.temporal_kernel}, expected an odd number of frames")


class TrajloomVAE(nn.Module):
    def __init__(self, config: TrajloomVAEConfig):
        super().__init__()
        self.config = config
        dim, kernel, stride = config.dim, config.temporal_kernel, config.temporal_stride
        self.patch_embedding = PatchEmbedding(2, config.patch_size, dim)
        self.place_embedding = PlaceEmbedding(config.position_frequencies, dim)
        self.encoder_blocks = nn.ModuleList(self._block(i) for i in range(config.depth))
        self.compression = Compression(dim, kernel, stride)
        self.to_latents = nn.Linear(dim, 2 * config.latent_channels)
        self.from_latents = nn.Linear(config.latent_channels, dim)
        self.decoder_blocks = nn.ModuleList(self._block(i) for i in range(config.depth))
        self.expansion = Expansion(dim, kernel, stride, config.num_frames)
        self.final_linear = nn.Linear(dim, config.patch_size**2 * 2)
        self.register_buffer("grid_positions", sincos_2d(config.cells.shape, dim), persistent=False)
        self.register_buffer(
            "time_positions", sincos_1d(torch.arange(config.num_frames), dim)[:, None], persistent=False
        )
        self._initialise()

    def encode(self, tracks: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents.

        Args:
            tracks: [B, T, 2, rows, columns], one point a cell, or a field of all pixels [B, T, 2, height, width] whose
                cells need not be constant; absolute, normalised (x, y), see `cells`.

        Returns:
            mean, std: [B, T', rows * columns, C]

        Raises:
            ValueError: for another shape.
        """
        shape, sizes = tuple(tracks.shape[1:]), (self.config.cells.shape, self.config.image_size)
        if shape not in [(self.config.num_frames, 2, *size) for size in sizes]:
            raise ValueError(
                f"tracks: got {list(tracks.shape)}, expected [B, {self.config.num_frames}, 2, ...] of "
                f"{sizes[0][0]} x {sizes[0][1]} cells or {sizes[1][0]} x {sizes[1][1]} pixels"
            )
        embedded = self._embed_points if shape[2:] == sizes[0] else self._embed_field
        return self._posterior(embedded(tracks))

    def decode(self, latents: Tensor) -> Tensor:
        """Tracks of the cells' top-left pixels: [B, T', rows * columns, C] -> float32 [B, T, 2, rows, columns]"""
        x = F.linear(self._decoded(latents), self.final_linear.weight[:2], self.final_linear.bias[:2])
        offsets = rearrange(x.float(), "b t (h w) c -> b t c h w", h=self.config.cells.shape[0])
        if not self.config.anchored:
            return offsets
        cells = self.config.cells
        return cells.centres(x.device) + cells.ramp(x.device)[:, :1, :1] + offsets

    def decode_field(self, latents: Tensor) -> Tensor:
        """Tracks of all pixels: [B, T', rows * columns, C] -> float32 [B, T, 2, height, width]"""
        x = self.final_linear(self._decoded(latents)).float()
        rows, side = self.config.cells.shape[0], self.config.patch_size
        offsets = rearrange(x, "b t (h w) (p q c) -> b t c (h p) (w q)", h=rows, p=side, q=side)
        return self.config.cells.anchors(x.device) + offsets if self.config.anchored else offsets

    def _embed_points(self, tracks: Tensor) -> Tensor:
        """[B, T, 2, rows, columns] -> [B, T, L, D]; all pixels of a cell have its track."""
        weight, bias = self.patch_embedding.proj.weight.float(), self.patch_embedding.proj.bias.float()
        offsets = tracks.float()
        if self.config.anchored:
            offsets = offsets - self.config.cells.centres(tracks.device)
            bias = bias - torch.einsum("dcpq,cpq->d", weight, self.config.cells.ramp(tracks.device))
        x = F.linear(rearrange(offsets, "b t c h w -> b t (h w) c"), weight.sum(dim=(2, 3)), bias)
        return x.to(self.patch_embedding.proj.weight.dtype)

    def _embed_field(self, tracks: Tensor) -> Tensor:
        """[B, T, 2, height, width] -> [B, T, L, D]"""
        offsets = tracks.float() - self.config.cells.anchors(tracks.device) if self.config.anchored else tracks
        x = self.patch_embedding(offsets.flatten(0, 1).to(self.patch_embedding.proj.weight.dtype))
        return x.unflatten(0, (len(tracks), -1))

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation from embedded cells [B, T, L, D]."""
        x = x + self.grid_positions + self.place_embedding(self.config.cells)
        for i, block in enumerate(self.encoder_blocks):
            if i == 1:
                x = x + self.time_positions
            if i == len(self.encoder_blocks) // 2:
                x = self.compression(x)
            x = block(x)
        mean, logvar = self.to_latents(x).chunk(2, dim=-1)
        return mean, F.softplus(0.5 * logvar) + 1e-8

    def _decoded(self, latents: Tensor) -> Tensor:
        """[B, T', L, C] -> [B, T, L, D]"""
        x = self.from_latents(latents)
        for i, block in enumerate(self.decoder_blocks):
            if i == len(self.decoder_blocks) // 2:
                x = self.expansion(x)
            x = block(x)
        return x

    def _block(self, index: int) -> "TrajloomVAEBlock":
        return TrajloomVAEBlock(self.config.dim, self.config.heads, over_time=index % 2 == 1)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.final_linear.weight)


class PlaceEmbedding(nn.Module):
    """Fourier features of the cells' centres, through an MLP, to the width of the tokens."""

    def __init__(self, frequencies: int, dim: int):
        super().__init__()
        features = 2 * frequencies
        self.register_buffer("w", torch.randn(frequencies, 2))  # drawn once, never trained
        self.mlp = MLP(features, 4 * features, features)
        self.proj = nn.Linear(features, dim)

    def forward(self, cells: CellGrid) -> Tensor:
        """[rows * columns, D]"""
        places = cells.centres(self.w.device).flatten(1).T.to(self.w.dtype)
        angles = places @ self.w.T
        return self.proj(
            self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1) / angles.new_tensor(2 * len(self.w)).sqrt())
        )


class TrajloomVAEBlock(nn.Module):
    """Self-attention over space or time and MLP, with two learned gates that start at zero."""

    def __init__(self, dim: int, heads: int, over_time: bool):
        super().__init__()
        self.over_time = over_time
        self.norm1 = RMSNorm(dim, eps=1e-6)
        self.attention = SelfAttention(dim, heads, normed=False)
        self.gate_attention = nn.Parameter(torch.zeros(1, 1, dim))
        self.norm2 = RMSNorm(dim, eps=1e-6)  # read by nothing: the official files have it, and count it
        self.norm3 = RMSNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, 4 * dim, dim)
        self.gate_mlp = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, L, D], overwritten in inference -> [B, T, L, D]"""
        return transform_by_tiles(self._transform, x.unsqueeze(0), self.over_time).squeeze(0)

    def _transform(self, x: Tensor, _image: KeysValues | None, _modulation: Tensor | None) -> Tensor:
        """x [1, B, frames, positions, D], or [1, B, positions, frames, D] in a block over time"""
        x = torch.addcmul(x, self.gate_attention, self.attention(self.norm1(x).flatten(0, 2)).view_as(x))
        return torch.addcmul(x, self.gate_mlp, self.mlp(self.norm3(x)))
