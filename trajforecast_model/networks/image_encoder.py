"""Image encoders: images to a grid of tokens. DINOv2 is frozen; the patch encoder is trained along with the model."""

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trajforecast_model.files.config import check_at_least
from trajforecast_model.networks.layers import EncoderBlock, RMSNorm
from trajforecast_model.networks.positions import sincos_2d

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageEncoderConfig:
    kind: Literal["dinov2", "patch"] = "dinov2"
    source: str | None = "facebook/dinov2-large"  # dinov2: folder or hub id
    input_size: tuple[int, int] = (128, 128)  # height, width that the encoder sees
    patch_size: int = 14
    dim: int = 1024  # width of the tokens
    depth: int = 0  # patch: transformer blocks after the convolutions
    heads: int = 1  # patch: attention heads

    def __post_init__(self):
        check_at_least(1, self, "patch_size", "dim", "heads")
        if self.kind == "patch" and any(side % self.patch_size for side in self.input_size):
            raise ValueError(
                f"image_encoder.input_size {self.input_size} is not a multiple of patch_size {self.patch_size}; change one "
                "of them"
            )

    @property
    def grid(self) -> tuple[int, int]:
        return self.input_size[0] // self.patch_size, self.input_size[1] // self.patch_size


class PatchImageEncoder(nn.Module):
    """A few strided convolutions down to one token a patch, then a small transformer over all patches."""

    def __init__(self, config: ImageEncoderConfig):
        super().__init__()
        halvings = config.patch_size.bit_length() - 1
        if 2**halvings != config.patch_size or halvings < 1:
            raise ValueError(f"patch encoder: patch_size {config.patch_size} must be a power of two, at least 2")
        self.config = config
        widths = [3] + [max(16, config.dim >> i) for i in range(halvings - 1, -1, -1)]
        layers: list[nn.Module] = []
        for width_in, width_out in itertools.pairwise(widths):
            layers += [nn.GELU(approximate="tanh")] if layers else []
            layers += [nn.Conv2d(width_in, width_out, kernel_size=3, stride=2, padding=1)]
        self.stem = nn.Sequential(*layers)
        self.blocks = nn.ModuleList(EncoderBlock(config.dim, config.heads) for _ in range(config.depth))
        self.norm = RMSNorm(config.dim, eps=1e-6)
        self.register_buffer("positions", sincos_2d(config.grid, config.dim), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] standardised -> [B, M, D]"""
        x = self.stem(images).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Dinov2ImageEncoder(nn.Module):
    """DINOv2 of transformers, frozen; its patch tokens without CLS (WHN section D.1)."""

    def __init__(self, config: ImageEncoderConfig, allow_download: bool = False):
        super().__init__()
        from transformers import Dinov2Model

        self.config = config
        try:
            self.backbone = Dinov2Model.from_pretrained(config.source, local_files_only=not allow_download)
        except OSError as error:
            raise ValueError(
                f"DINOv2 weights {config.source!r} are not on this machine: give a local folder as "
                f"image_encoder.source, or allow the download (allow_download=True)"
            ) from error
        if self.backbone.config.hidden_size != config.dim or self.backbone.config.patch_size != config.patch_size:
            raise ValueError(
                f"DINOv2 {config.source!r} has width {self.backbone.config.hidden_size} and patches of "
                f"{self.backbone.config.patch_size}, the config says {config.dim} and {config.patch_size}"
            )
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Dinov2ImageEncoder":
        """Stays as it is used: within a model that is trained, too, it sees the same tokens in the same image."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] standardised -> [B, M, D]"""
        return self.backbone(images).last_hidden_state[:, 1:]


def build_image_encoder(config: ImageEncoderConfig, allow_download: bool = False) -> nn.Module:
    if config.kind == "dinov2":
        return Dinov2ImageEncoder(config, allow_download)
    return PatchImageEncoder(config)


def standardise(images: Tensor, input_size: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 [B, H, W, 3] to what the encoders take: [B, 3, *input_size], ImageNet mean and standard deviation."""
    x = images.movedim(-1, 1).to(torch.float32) / 255
    if tuple(x.shape[-2:]) != tuple(input_size):
        x = F.interpolate(x, size=input_size, mode="bicubic", antialias=True)
    mean, std = (x.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((x - mean) / std).to(dtype)


def signed_pixels(images: Tensor) -> Tensor:
    """uint8 [..., H, W, 3] to float32 [..., 3, H, W], -1 black to 1 white."""
    return images.movedim(-1, -3).float() / 127.5 - 1
