"""TrajLoom's generator: the velocity of noisy latents of the future, given the latents of the past (arXiv 2603.22606).

Everything that depends on the past alone is computed once a forecast: `history_context` projects it, with the keys and
values of all blocks, for any number of samples and solver steps.

A name's letters after the underscore are its shape: B pasts, S samples of each (1 where all are alike), T latent steps,
N cells, C channels, D width of the network.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import KeysValues, RMSNorm
from trajforecast_model.networks.positions import sincos_2d, timestep_features
from trajforecast_model.networks.trajloom.frames import latent_steps
from trajforecast_model.networks.trajloom.layers import MLP, CrossAttention, SelfAttention


@dataclass(frozen=True)
class GeneratorConfig:
    num_frames: int = 81  # of the past, and of the future
    temporal_stride: int = 4  # frames between latent steps
    cells: int = 390
    channels: int = 16  # of the latents
    video_channels: int = 16  # of the video's latents, one a cell and latent step
    text_dim: int | None = 4096  # width of a caption's embedding; null for a model without text
    image_dim: int | None = None  # width of a picture's tokens; null for a model without a picture, as the official one
    image_grid: tuple[int, int] = (8, 8)  # rows, columns of them
    dim: int = 768
    depth: int = 16  # blocks: half over time, half over space
    heads: int = 12
    fusion: bool = True  # queries see their own token's past, carried on by its last step

    @property
    def latent_frames(self) -> int:
        return latent_steps(self.num_frames, self.temporal_stride)

    def __post_init__(self):
        check_at_least(1, self, "num_frames", "temporal_stride", "cells", "channels", "video_channels")
        optional = [name for name in ("text_dim", "image_dim") if getattr(self, name) is not None]
        check_at_least(1, self, "dim", "depth", "heads", *optional)
        if self.dim % self.heads or self.dim % 2:
            raise ValueError(f"dim {self.dim} is not an even multiple of heads {self.heads}; change one of them")
        if self.depth % 2:
            raise ValueError(f"depth: got {self.depth}, expected an even number of blocks, half of them over time")
        if self.latent_frames < 2:
            raise ValueError(
                f"num_frames {self.num_frames} with temporal_stride {self.temporal_stride} are {self.latent_frames} latent "
                "step, expected two or more"
            )


class HistoryContext(NamedTuple):
    """All that the generator needs of B pasts, for any number of samples and solver steps."""

    keys_values: list[KeysValues]  # one a block: over time of B * N cells, over space of B pasts
    continued: (
        Tensor | None
    )  # [B, 1, T, N, D], the last state carried on by its last step, which is added to the queries
    condition: Tensor  # [B, 1, D], of text, video and past


class Generator(nn.Module):
    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        dim, channels = config.dim, config.channels
        self.in_projection = nn.Linear(channels, dim)
        self.history_projection = nn.Linear(channels, dim)
        self.visibility_projection = nn.Linear(1, dim)
        self.visibility_scale = nn.Parameter(torch.tensor(1.0))
        self.video_projection = nn.Linear(config.video_channels, dim)
        self.video_scale = nn.Parameter(torch.tensor(1.0))
        if config.fusion:
            self.fusion_scale = nn.Parameter(torch.tensor(0.1))
            self.fusion_gate_logits = nn.Parameter(torch.logit(torch.linspace(0.95, 0.35, config.latent_frames)))
        self.cell_positions = nn.Parameter(0.02 * torch.randn(1, config.cells, dim))
        self.segment_embedding = nn.Parameter(0.02 * torch.randn(2, dim))  # past, future
        self.timestep_embedding = nn.Sequential(nn.Linear(dim, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, dim))
        if config.text_dim is not None:
            self.text_projection = nn.Linear(config.text_dim, dim)
        if config.image_dim is not None:
            self.image_projection = nn.Linear(config.image_dim, dim)
            self.register_buffer("image_positions", sincos_2d(config.image_grid, dim), persistent=False)
        self.video_summary = nn.Linear(config.video_channels, dim)
        self.video_summary_scale = nn.Parameter(torch.tensor(1.0))
        self.history_summary = nn.Linear(2 * channels, dim)
        self.history_summary_scale = nn.Parameter(torch.tensor(1.0))
        self.blocks = nn.ModuleList(GeneratorBlock(dim, config.heads) for _ in range(config.depth))
        self.final_norm = RMSNorm(dim, eps=1e-6, elementwise_affine=False)
        self.final_linear = nn.Linear(dim, channels)
        frames = config.temporal_stride * torch.arange(config.latent_frames)
        times = torch.stack([frames, config.num_frames + frames])
        self.register_buffer(
            "time_positions", timestep_features(times, dim)[:, :, None], persistent=False
        )  # [2, T, 1, D]
        self._initialise()

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        history: Tensor,
        visibility: Tensor | None = None,
        video: Tensor | None = None,
        text: Tensor | None = None,
        image: Tensor | None = None,
    ) -> Tensor:
        """Velocity at flow time t (0 is noise, 1 is data).

        Args:
            z_t: [B, T, N, C] noisy latents of the future.
            t: [B]
            history, visibility, video, text, image: see `history_context`.

        Returns:
            [B, T, N, C]
        """
        context = self.history_context(history, visibility, video, text, image=image)
        return self.velocity(z_t.unsqueeze(1), t.unsqueeze(1), context)[:, 0]

    def history_context(
        self,
        history: Tensor,
        visibility: Tensor | None = None,
        video: Tensor | None = None,
        text: Tensor | None = None,
        text_shown: Tensor | None = None,
        image: Tensor | None = None,
    ) -> HistoryContext:
        """Projects the past, once for all samples and steps.

        Args:
            history: [B, T, N, C] normalised latents of the past.
            visibility: [B, T, N], which cells were seen in which latent step; None is as if none was seen.
            video: [B, T, N, C_video] normalised latents of the past frames; None is as if they were zero.
            text: [B, E] embedding of the caption; None adds nothing.
            text_shown: bool [B], the captions that count; the others are as if there was none. None shows all.
            image: [B, M, E_image] tokens of the present picture, which a model that was made with one must be given.

        Raises:
            ValueError: for another shape, text or a picture for a model without, or none for a model with a picture.
        """
        config = self.config
        steps_cells = (len(history), config.latent_frames, config.cells)
        _check_shape("history", history, (*steps_cells, config.channels))
        if visibility is None:
            visibility = history.new_zeros(steps_cells)
        if video is None:
            video = history.new_zeros((*steps_cells, config.video_channels))
        _check_shape("visibility", visibility, steps_cells)
        _check_shape("video", video, (*steps_cells, config.video_channels))
        video, visibility = video.to(history.dtype), visibility.to(history.dtype)

        seen = self.visibility_projection(visibility.unsqueeze(-1))
        tokens_BTND = self.history_projection(history) + self.visibility_scale * seen
        continued = self._continued(tokens_BTND).unsqueeze(1) if config.fusion else None

        place_T1D = self.time_positions[0] + self.segment_embedding[0]
        past_BTND = tokens_BTND + place_T1D
        film_BTND = self.video_scale * self.video_projection(video) + place_T1D
        over_time = torch.cat([past_BTND, film_BTND], dim=1).transpose(1, 2).flatten(0, 1)  # [B * N, 2 T, D]
        last_BND, last_film_BND = past_BTND[:, -1] + self.cell_positions, film_BTND[:, -1] + self.cell_positions
        over_space = torch.cat([last_BND, last_film_BND, *self._picture(image, history)], dim=1)  # [B, 2 N + M, D]

        condition_BD = self.video_summary_scale * self.video_summary(video.mean(dim=(1, 2)))
        summary = torch.cat([history.mean(dim=(1, 2)), history[:, -1].mean(dim=1)], dim=-1)  # [B, 2 C]
        condition_BD = condition_BD + self.history_summary_scale * self.history_summary(summary)
        if text is not None:
            if config.text_dim is None:
                raise ValueError("text: this generator was made without; leave it out")
            _check_shape("text", text, (len(history), config.text_dim))
            of_text_BD = self.text_projection(text.to(history.dtype))
            condition_BD = condition_BD + (of_text_BD if text_shown is None else of_text_BD * text_shown[:, None])
        return HistoryContext(
            keys_values=[
                block.cross_attention.project(over_time if i % 2 else over_space) for i, block in enumerate(self.blocks)
            ],
            continued=continued,
            condition=condition_BD.unsqueeze(1),
        )

    def velocity(self, z_t: Tensor, t: Tensor, context: HistoryContext) -> Tensor:
        """Velocity of S samples for each of B pasts: z_t [B, S, T, N, C] -> [B, S, T, N, C].

        Args:
            t: [B, S], or [B, 1] where all samples are at the same time: then conditioning is computed once.
        """
        features = timestep_features(t, self.config.dim).to(z_t.dtype)
        condition_BSD = self.timestep_embedding(features) + context.condition
        condition_BS11D = F.silu(condition_BSD)[:, :, None, None]
        place_TND = self.time_positions[1] + self.segment_embedding[1] + self.cell_positions
        x_BSTND = self.in_projection(z_t) + place_TND
        if context.continued is not None:
            x_BSTND = x_BSTND + context.continued
        for i in range(0, len(self.blocks), 2):
            x_BSNTD = x_BSTND.transpose(2, 3)
            x_BSNTD = self.blocks[i + 1](x_BSNTD, condition_BS11D, context.keys_values[i + 1], over_time=True)
            x_BSTND = x_BSNTD.transpose(2, 3)
            x_BSTND = self.blocks[i](x_BSTND, condition_BS11D, context.keys_values[i], over_time=False)
        return self.final_linear(self.final_norm(x_BSTND))

    def _picture(self, image: Tensor | None, history: Tensor) -> list[Tensor]:
        """What is read of the picture beside the past, [B, M, D], in a list that is empty for a model without."""
        config = self.config
        if config.image_dim is None:
            if image is not None:
                raise ValueError("image: this generator was made without a picture; leave it out")
            return []
        if image is None:
            raise ValueError("image: this generator looks at the present picture; give its tokens")
        _check_shape("image", image, (len(history), math.prod(config.image_grid), config.image_dim))
        return [self.image_projection(image.to(history.dtype)) + self.image_positions]

    def _continued(self, tokens_BTND: Tensor) -> Tensor:
        """Every token's last state, carried on by its last step and gated by latent step: [B, T, N, D] -> the same shape"""
        last, before = tokens_BTND[:, -1:], tokens_BTND[:, -2:-1]
        ahead_T11 = torch.linspace(0, 1, tokens_BTND.shape[1], device=last.device).to(last.dtype)[:, None, None]
        gates_T11 = self.fusion_scale * self.fusion_gate_logits.sigmoid()[:, None, None]
        return gates_T11 * (last + ahead_T11 * (last - before))

    def _initialise(self) -> None:
        nn.init.zeros_(self.visibility_projection.weight)
        nn.init.zeros_(self.visibility_projection.bias)
        dim = self.config.dim
        for block in self.blocks:
            nn.init.zeros_(block.modulation.weight)
            nn.init.zeros_(block.modulation.bias)
            with torch.no_grad():
                block.modulation.bias.view(9, dim)[2::3].fill_(1)  # the gates


class GeneratorBlock(nn.Module):
    """Self-attention over space or time, cross-attention to the past, MLP; each shifted, scaled and gated by adaLN."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.norm = RMSNorm(dim, eps=1e-6, elementwise_affine=False)
        self.attention = SelfAttention(dim, heads, normed=True)
        self.cross_attention = CrossAttention(dim, heads)
        self.mlp = MLP(dim, 4 * dim, dim)
        self.modulation = nn.Linear(dim, 9 * dim)

    def forward(self, x: Tensor, condition: Tensor, past: KeysValues, over_time: bool) -> Tensor:
        """[B, S, apart, together, D], whose last axis but one attends to itself -> the same shape

        Args:
            condition: [B, S or 1, 1, 1, D]
            past: of B * cells where the block is over time, of B otherwise.
        """
        shift1, scale1, gate1, shift2, scale2, gate2, shift3, scale3, gate3 = self.modulation(condition).chunk(
            9, dim=-1
        )
        attended = self.attention(self._modulated(x, shift1, scale1).flatten(0, 2)).view(x.shape)
        x = torch.addcmul(x, gate1, attended)
        queries = self._modulated(x, shift2, scale2)
        if over_time:  # samples of a cell share its keys
            of_cells = queries.transpose(1, 2).flatten(0, 1)  # [B * N, S, T, D]
            read = self.cross_attention(of_cells.flatten(1, 2), past).view(of_cells.shape)
            read = read.unflatten(0, (len(x), -1)).transpose(1, 2)
        else:  # samples and steps of a past share its keys
            read = self.cross_attention(queries.flatten(1, 3), past).view(x.shape)
        x = torch.addcmul(x, gate2, read)
        return torch.addcmul(x, gate3, self.mlp(self._modulated(x, shift3, scale3)))

    def _modulated(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return torch.addcmul(shift, self.norm(x), 1 + scale)


def _check_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name}: got {list(tensor.shape)}, expected {list(shape)}")
