"""TrajLoom's visibility head: whether a track is visible, from its latents alone."""

from dataclasses import dataclass

from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least


@dataclass(frozen=True)
class VisibilityHeadConfig:
    channels: int = 16  # of the latents
    dim: int = 64
    depth: int = 3  # convolutions over time
    kernel: int = 3  # latent steps

    def __post_init__(self):
        check_at_least(1, self, "channels", "dim", "depth", "kernel")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: got {self.kernel}, expected an odd number of latent steps")


class VisibilityHead(nn.Module):
    def __init__(self, config: VisibilityHeadConfig):
        super().__init__()
        self.config = config
        self.in_projection = nn.Linear(config.channels, config.dim)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.dim, config.dim, config.kernel, padding=config.kernel // 2) for _ in range(config.depth)
        )
        self.out_projection = nn.Conv1d(config.dim, 1, 1)

    def forward(self, latents: Tensor) -> Tensor:
        """Normalised latents [B, T', N, C] -> logits [B, T', N]"""
        x = self.in_projection(latents).transpose(1, 2).flatten(0, 1).transpose(1, 2)  # [B * N, D, T']
        for convolution in self.convolutions:
            x = nn.functional.silu(convolution(x))
        return self.out_projection(x)[:, 0].unflatten(0, (len(latents), -1)).transpose(1, 2)
