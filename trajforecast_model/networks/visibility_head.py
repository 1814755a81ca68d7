"""Whether each point of a forecast will be seen, of its latents and the picture (TrajLoom, arXiv 2603.22606, asks the same
of latents alone).
"""

from dataclasses import dataclass

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import EncoderBlock, RMSNorm
from trajforecast_model.networks.positions import sincos_2d

CERTAIN = 20.0  # logit of what is seen by definition


@dataclass(frozen=True)
class VisibilityHeadConfig:
    num_frames: int  # of tracks, the present one included
    grid: tuple[int, int]  # rows, columns of query points
    latent: tuple[int, int, int, int]  # frames, channels, rows, columns
    image_grid: tuple[int, int]  # rows, columns of image tokens
    image_dim: int
    dim: int = 96
    depth: int = 1  # blocks over the cells of the latent
    heads: int = 2

    def __post_init__(self):
        check_at_least(1, self, "num_frames", "image_dim", "dim", "heads", group="visibility.")
        check_at_least(0, self, "depth", group="visibility.")


class VisibilityHead(nn.Module):
    def __init__(self, config: VisibilityHeadConfig):
        super().__init__()
        self.config = config
        frames, channels, *cells = config.latent
        self._points = (config.grid[0] // cells[0], config.grid[1] // cells[1])  # of a cell
        self.latent_embedding = nn.Linear(frames * channels, config.dim)
        self.image_embedding = nn.Linear(config.image_dim, config.dim)
        self.blocks = nn.ModuleList(EncoderBlock(config.dim, config.heads) for _ in range(config.depth))
        self.final_norm = RMSNorm(config.dim, eps=1e-6)
        self.to_logits = nn.Linear(config.dim, (config.num_frames - 1) * self._points[0] * self._points[1])
        self.register_buffer("positions", sincos_2d(tuple(cells), config.dim), persistent=False)

    def forward(self, latents: Tensor, image_tokens: Tensor) -> Tensor:
        """Logits of S samples of each of N images.

        Args:
            latents: [N, S, T', C, h, w], scaled as the denoiser's.
            image_tokens: [N, M, D]

        Returns:
            float32 [N, S, T, H, W]; the present, in which every point is seen by definition, is certain.
        """
        config, (rows, columns) = self.config, self._points
        cells = config.latent[2:]
        image = image_tokens.transpose(1, 2).unflatten(-1, config.image_grid)
        image = F.adaptive_avg_pool2d(image, cells).flatten(2).transpose(1, 2)  # [N, h * w, D]
        of_latents = self.latent_embedding(rearrange(latents, "n s t c h w -> n s (h w) (t c)").to(image.dtype))
        tokens = of_latents + self.image_embedding(image)[:, None] + self.positions
        tokens = tokens.flatten(0, 1)
        for block in self.blocks:
            tokens = block(tokens)
        logits = rearrange(
            self.to_logits(self.final_norm(tokens)).float(), "n (h w) (t p q) -> n t (h p) (w q)",
            h=cells[0], p=rows, q=columns,
        )  # fmt: skip
        return F.pad(logits, (0, 0, 0, 0, 1, 0), value=CERTAIN).unflatten(0, latents.shape[:2])
