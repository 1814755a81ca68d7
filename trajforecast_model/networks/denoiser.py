"""Denoiser: the velocity of noisy track latents, given the image and the instruction (WHN section 3.3).

Tokens carry their images apart from their samples, so that what depends on the image alone is computed once an image:
the keys and values of its tokens, its text embedding, and the past of its points.

A name's letters after the underscore are its shape: N images, S samples of each (1 where all are alike), T latent frames,
C channels of h x w cells, L positions of a frame, D width of the network, M tokens of an image.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.history_encoder import HistoryConfig, HistoryEncoder, PastTracks
from trajforecast_model.networks.layers import (
    MLP,
    FourierTrackEncoding,
    ImageCrossAttention,
    KeysValues,
    PatchEmbedding,
    RMSNorm,
    SelfAttention,
    unpatchify,
)
from trajforecast_model.networks.positions import sincos_1d, sincos_2d, timestep_features
from trajforecast_model.networks.tiles import transform_by_tiles

# Names of weights begin so.
LAST_MOTION_PARTS = ("last_motion_embedding.",)
HISTORY_PARTS = ("history_encoder.", "history_projection.", "history_condition.", *LAST_MOTION_PARTS)


@dataclass(frozen=True)
class DenoiserConfig:
    num_frames: int = 16  # latent frames, the known first one included
    grid: tuple[int, int] = (16, 16)  # rows, columns of the latent, or of the query points without a VAE
    channels: int = 8  # of the latent, or 2 without a VAE
    patch_size: int = 1
    dim: int = 384
    depth: int = 12
    heads: int = 6
    image_grid: tuple[int, int] = (9, 9)  # rows, columns of image tokens
    image_dim: int = 1024
    text_dim: int | None = 768  # width of the text embedding; null for a model without text
    track_encoding: bool = False  # Fourier features of positions, for tracks without a VAE
    skip_first_frame: bool = False  # leave the known frame out: it is a constant where the VAE does not see the image
    aligned_image: bool = False  # add the image tokens under a latent token to it (TrajLoom's token-aligned fusion)
    history: HistoryConfig | None = None  # of the points' past; null for a model that sees the present alone

    def __post_init__(self):
        check_at_least(1, self, "num_frames", "channels", "patch_size", "dim", "depth", "heads")
        if any(side % self.patch_size for side in self.grid):
            raise ValueError(f"grid {self.grid} is not a multiple of patch_size {self.patch_size}; change one of them")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}; change one of them")
        if self.track_encoding and self.channels != 2:
            raise ValueError(f"track_encoding takes positions (2 channels), got channels {self.channels}")


class ImageContext(NamedTuple):
    """All that the denoiser needs of N images, instructions and pasts, for any number of samples and solver steps."""

    keys_values: list[KeysValues]  # one a block
    aligned: Tensor | None  # [N, L, D], of the image and the past at each latent token
    condition: Tensor | None  # [N, D], of the text and the past as a whole


class Denoiser(nn.Module):
    def __init__(self, config: DenoiserConfig):
        super().__init__()
        self.config = config
        dim = config.dim
        self.token_rows = config.grid[0] // config.patch_size
        token_grid = (self.token_rows, config.grid[1] // config.patch_size)
        channels = config.channels
        if config.track_encoding:
            self.track_encoding = FourierTrackEncoding(dim)
            channels = self.track_encoding.channels
        else:
            self.track_encoding = nn.Identity()
        self.patch_embedding = PatchEmbedding(channels, config.patch_size, dim)
        self.timestep_embedding = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.image_projection = nn.Linear(config.image_dim, dim)
        if config.text_dim is not None:
            self.text_projection = MLP(config.text_dim, 4 * dim, dim)
        if config.aligned_image:
            self.aligned_projection = nn.Linear(config.image_dim, dim)
        if config.history is not None:
            self.history_encoder = HistoryEncoder(config.history, token_grid, dim, config.heads)
            self.history_projection = nn.Linear(dim, dim)
            self.history_condition = nn.Linear(dim, dim)
            if config.history.last_motion:
                unknown = (config.num_frames - 1) * config.channels
                self.last_motion_embedding = PatchEmbedding(unknown, config.patch_size, dim)
        self.blocks = nn.ModuleList(DenoiserBlock(dim, config.heads, i % 2 == 1) for i in range(config.depth))
        self.final_norm = RMSNorm(dim, eps=1e-6, elementwise_affine=False)
        self.final_modulation = nn.Linear(dim, 2 * dim)
        self.final_linear = nn.Linear(dim, config.patch_size**2 * config.channels)
        self.register_buffer("grid_positions", sincos_2d(token_grid, dim), persistent=False)
        self.register_buffer("image_positions", sincos_2d(config.image_grid, dim), persistent=False)
        self.register_buffer(
            "time_positions", sincos_1d(torch.arange(config.num_frames), dim)[:, None], persistent=False
        )
        self.token_grid = token_grid
        self._initialise()

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        image_tokens: Tensor,
        text_embedding: Tensor | None = None,
        history: PastTracks | None = None,
    ) -> Tensor:
        """Velocity at flow time t (0 is noise, 1 is data).

        Args:
            x: [B, T, C, h, w] noisy latents, or tracks without a VAE; frame 0 is the known, clean one.
            t: [B]
            image_tokens: [B, M, D_image]
            text_embedding: [B, E], or None for a model without text.
            history: of B images; None where nothing is known of it.

        Returns:
            [B, T, C, h, w]; what stands in frame 0 has no meaning.
        """
        return self.velocity(x.unsqueeze(1), t.unsqueeze(1), self.image_context(image_tokens, text_embedding, history))[
            :, 0
        ]

    def image_context(
        self, image_tokens: Tensor, text_embedding: Tensor | None = None, history: PastTracks | None = None
    ) -> ImageContext:
        """Projects image tokens [N, M, D_image], text [N, E] and the past of N images, once for all samples and steps.

        Raises:
            ValueError: for text or a history that this denoiser does not take, and for a history of another shape.
        """
        if (text_embedding is None) != (self.config.text_dim is None):
            wanted = "no text" if self.config.text_dim is None else f"text_embedding [N, {self.config.text_dim}]"
            raise ValueError(f"this denoiser takes {wanted}, got {'none' if text_embedding is None else 'one'}")
        tokens = self.image_projection(image_tokens) + self.image_positions
        aligned = None
        if self.config.aligned_image:
            image = image_tokens.transpose(1, 2).unflatten(-1, self.config.image_grid)
            image = F.adaptive_avg_pool2d(image, self.token_grid).flatten(2).transpose(1, 2)
            aligned = self.aligned_projection(image)  # [N, L, D]
        condition = None if text_embedding is None else self.text_projection(text_embedding)
        if (past := self._past(history, len(tokens))) is not None:
            by_token, as_a_whole = self.history_projection(past), self.history_condition(past.mean(dim=1))
            aligned = by_token if aligned is None else aligned + by_token
            condition = as_a_whole if condition is None else condition + as_a_whole
        if history is not None and self.config.history.last_motion:
            aligned = aligned + self._last_motion(history)
        return ImageContext(
            keys_values=[block.cross_attention.project(tokens) for block in self.blocks],
            aligned=aligned,
            condition=condition,
        )

    def _past(self, history: PastTracks | None, images: int) -> Tensor | None:
        """[N, L, D]; of a past of which nothing is seen where none is given, None for a model without history."""
        config = self.config.history
        if config is None:
            if history is not None:
                raise ValueError("this denoiser takes no history, got one; leave it out, or load a model with history")
            return None
        shape = (images, config.frames, *config.grid)
        if history is None:
            unseen = self.grid_positions.new_zeros(shape)
            history = PastTracks(unseen[:, :, None].expand(-1, -1, 2, -1, -1), unseen)
        if history.visible.shape != shape:
            raise ValueError(f"history: expected visibility {shape}, got {tuple(history.visible.shape)}")
        return self.history_encoder(history)

    def _last_motion(self, history: PastTracks) -> Tensor:
        """[N, L, D]"""
        shape = (len(history.visible), self.config.num_frames - 1, self.config.channels, *self.config.grid)
        if history.last_motion is None or history.last_motion.shape != shape:
            got = None if history.last_motion is None else tuple(history.last_motion.shape)
            raise ValueError(f"history: expected last_motion {shape}, got {got}; networks/last_motion.py makes it")
        return self.last_motion_embedding(history.last_motion.flatten(1, 2).to(self.grid_positions.dtype))

    def velocity(self, x: Tensor, t: Tensor, context: ImageContext) -> Tensor:
        """Velocity of S samples for each of N images: x [N, S, T, C, h, w] -> [N, S, T, C, h, w].

        Args:
            t: [N, S], or [N, 1] where all samples of an image are at the same time: then conditioning is computed once.
        """
        skipped = int(self.config.skip_first_frame)
        x_NSTChw = x[:, :, skipped:]
        shape_NST = x_NSTChw.shape[:3]
        condition_NSD = self.timestep_embedding(timestep_features(t).to(x.dtype))
        if context.condition is not None:
            condition_NSD = condition_NSD + context.condition[:, None]
        condition_NS11D = F.silu(condition_NSD)[:, :, None, None]

        tokens = self.patch_embedding(self.track_encoding(x_NSTChw.flatten(0, 2)))
        tokens_NSTLD = tokens.unflatten(0, shape_NST) + self.grid_positions
        if context.aligned is not None:
            tokens_NSTLD = tokens_NSTLD + context.aligned[:, None, None]
        for i, block in enumerate(self.blocks):
            if i == 1:
                tokens_NSTLD = tokens_NSTLD + self.time_positions[skipped:]
            tokens_NSTLD = block(tokens_NSTLD, condition_NS11D, context.keys_values[i])

        shift, scale = self.final_modulation(condition_NS11D).chunk(2, dim=-1)
        tokens_NSTLD = self.final_linear(_modulate(self.final_norm(tokens_NSTLD), shift, scale))
        velocity = unpatchify(tokens_NSTLD.flatten(0, 2), self.config.patch_size, self.token_rows)
        velocity_NSTChw = velocity.unflatten(0, shape_NST)
        return F.pad(velocity_NSTChw, (0, 0, 0, 0, 0, 0, skipped, 0))

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for linear in (self.timestep_embedding[0], self.timestep_embedding[2]):
            nn.init.normal_(linear.weight, std=0.02)
        zero = [block.modulation for block in self.blocks] + [self.final_modulation, self.final_linear]
        if self.config.history is not None:  # so that a model without history can be trained on with one
            zero += [self.history_projection, self.history_condition]
            if self.config.history.last_motion:
                zero.append(self.last_motion_embedding.proj)
        for linear in zero:
            nn.init.zeros_(linear.weight)


class DenoiserBlock(nn.Module):
    """Self-attention over space or time, cross-attention to the image, MLP; shifted, scaled and gated by adaLN-zero."""

    def __init__(self, dim: int, heads: int, over_time: bool):
        super().__init__()
        self.over_time = over_time
        self.norm1 = RMSNorm(dim, eps=1e-6, elementwise_affine=False)
        self.attention = SelfAttention(dim, heads)
        self.cross_attention = ImageCrossAttention(dim, heads)
        self.norm2 = RMSNorm(dim, eps=1e-6, elementwise_affine=False)
        self.mlp = MLP(dim, 4 * dim, dim)
        self.modulation = nn.Linear(dim, 7 * dim)

    def forward(self, x: Tensor, condition: Tensor, image: KeysValues) -> Tensor:
        """x [N, S, T, L, D], overwritten in inference; condition [N, S or 1, 1, 1, D] -> [N, S, T, L, D]"""
        return transform_by_tiles(self._transform, x, self.over_time, image, self.modulation(condition))

    def _transform(self, x: Tensor, image: KeysValues, modulation: Tensor) -> Tensor:
        """x [N, S, frames, positions, D], or [N, S, positions, frames, D] in a block over time"""
        shift1, scale1, gate1, gate_cross, shift2, scale2, gate2 = modulation.chunk(7, dim=-1)
        normed = _modulate(self.norm1(x), shift1, scale1)
        x = torch.addcmul(x, gate1, self.attention(normed.flatten(0, 2)).view_as(x))
        queries = x.flatten(1, 3)  # [N, S * T * L, D]: samples and frames share the keys; not normalised (the paper's)
        x = torch.addcmul(x, gate_cross, self.cross_attention(queries, image).view_as(x))
        return torch.addcmul(x, gate2, self.mlp(_modulate(self.norm2(x), shift2, scale2)))


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, x, 1 + scale)
