"""Networks with the official ones' names, weights and calls, and next to no arithmetic, for a folder in their place."""

from pathlib import Path

import torch
from official_layout import official_denoiser, official_vae
from torch import Tensor, nn


def write_stand_in(folder: Path) -> None:
    (folder / "nn_latte.py").write_text("from stand_in import Latte\n")
    (folder / "nn_latte_vae.py").write_text("from stand_in import LatteVAE\n")


class WithWeights(nn.Module):
    def __init__(self, shapes: dict[str, list[int]]):
        super().__init__()
        for key, shape in shapes.items():
            *parents, name = key.split(".")
            owner = self
            for parent in parents:
                if not hasattr(owner, parent):
                    owner.add_module(parent, nn.Module())
                owner = getattr(owner, parent)
            owner.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def sum(self) -> Tensor:
        return sum(parameter.sum() for parameter in self.parameters())


class Latte(WithWeights):
    def __init__(
        self, input_size, patch_size, in_channels, hidden_size, depth, num_heads, num_frames, learn_sigma,
        frame_features_dim, text_embed_dim, num_frame_tokens,
    ):  # fmt: skip
        super().__init__(
            official_denoiser(
                hidden_size, depth, num_frames, input_size**2, in_channels, patch_size, num_frame_tokens,
                frame_features_dim, text_embed_dim,
            )
        )  # fmt: skip

    def forward(self, x, t, frame_features, text_embeds):
        return x * self.sum()


class LatteVAE(WithWeights):
    def __init__(
        self, input_size, patch_size, in_channels, latent_channels, hidden_size, encoder_depth, decoder_depth,
        num_heads, num_frames, learn_sigma, frame_features_dim, num_frame_tokens,
    ):  # fmt: skip
        self.tokens, self.channels, self.grid = (input_size // patch_size) ** 2, latent_channels, input_size
        super().__init__(
            official_vae(
                hidden_size, encoder_depth, num_frames, self.tokens, latent_channels, patch_size, num_frame_tokens,
                frame_features_dim,
            )
        )  # fmt: skip

    def encode(self, tracks, frame_features):
        mean = torch.zeros(*tracks.shape[:2], self.tokens, self.channels, device=tracks.device) + self.sum()
        return torch.distributions.Normal(mean, torch.ones_like(mean))

    def decode(self, latents, frame_features):
        return latents.mean((2, 3))[:, :, None, None, None].expand(-1, -1, 2, self.grid, self.grid) + self.sum()
