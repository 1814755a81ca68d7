"""The flow's space of the ablation in the paper's table 6: the video's pixels, so that tracks have to be read off them."""

import torch
from torch import Tensor

from trajforecast_model.networks.image_encoder import signed_pixels
from trajforecast_model.training.noise import WindowNoise


class PixelSpace:
    """Frames, -1 black to 1 white, in the place of FlowSpace."""

    @torch.no_grad()
    def sample(self, frames: Tensor, tokens: Tensor, noise: WindowNoise) -> Tensor:
        """float32 [B, T, 3, h, w] of frames uint8 [B, T, h, w, 3]; nothing about them is drawn."""
        return signed_pixels(frames)

    @torch.no_grad()
    def first_frame(self, frames: Tensor, tokens: Tensor) -> Tensor:
        """float32 [B, 1, 3, h, w]"""
        return signed_pixels(frames[:, :1])
