"""A DINOv2 of one small layer with random weights, in a folder as the hub's."""

from pathlib import Path

import torch
from transformers import Dinov2Config, Dinov2Model


def write_dinov2(folder: Path, seed: int, width: int = 32) -> Path:
    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=width, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, patch_size=14, image_size=56
    )
    Dinov2Model(config).save_pretrained(folder)
    return folder


def dinov2_settings(source: Path) -> dict:
    return dict(kind="dinov2", source=str(source), input_size=[56, 56], patch_size=14, dim=32)
