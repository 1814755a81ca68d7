"""Frozen encoders say the same of the same input, whoever asks: in a training step, in validation, in a cache."""

import pytest
import torch
from small_dinov2 import dinov2_settings, write_dinov2
from torch import nn

from trajforecast_model.networks.image_encoder import ImageEncoderConfig, build_image_encoder
from trajforecast_model.networks.text_encoder import BertTextEncoder, TextEncoderConfig


def test_an_instruction_is_encoded_alike_in_a_step_of_bfloat16():
    encoder = BertTextEncoder(TextEncoderConfig(source="minilm", pooling="mean", dim=384))
    with torch.autocast("cpu", torch.bfloat16):
        in_a_step = encoder(["push the disc"])
    encoder._cache.clear()
    assert torch.equal(in_a_step, encoder(["push the disc"]))


def test_dinov2_within_a_model_that_is_trained_is_not_in_training_mode(tmp_path):
    settings = ImageEncoderConfig(**dinov2_settings(write_dinov2(tmp_path, seed=0)))
    model = nn.ModuleList([build_image_encoder(settings)]).train()
    assert model.training and not any(module.training for module in model[0].modules())


def test_a_picture_that_is_not_whole_patches_is_refused_at_once():
    with pytest.raises(ValueError, match=r"input_size \(240, 320\) is not a multiple of patch_size 32"):
        ImageEncoderConfig(kind="patch", source=None, input_size=(240, 320), patch_size=32, dim=32)
