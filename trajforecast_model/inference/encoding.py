"""What is given, as tensors: images to tokens, instructions to vectors."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.images import resize_images
from trajforecast_model.networks.image_encoder import ImageEncoderConfig, build_image_encoder, standardise
from trajforecast_model.networks.text_encoder import TextEncoder, TextEncoderConfig, build_text_encoder, warn_on_stderr
from trajforecast_model.runtime.device import placed


class WhatIsEncoded(Protocol):
    """The part of a checkpoint's config that encoders are made by."""

    image_encoder: ImageEncoderConfig
    text_encoder: TextEncoderConfig | None
    image_size: tuple[int, int]  # height, width of the images that the model was trained on


class Encoders:
    """The image and the text encoder of a model. What is not part of its checkpoint is loaded when first asked for.

    Args:
        allow_download: fetch weights that are not on this machine.
    """

    def __init__(
        self,
        config: WhatIsEncoded,
        device: torch.device,
        dtype: torch.dtype,
        image_encoder: nn.Module | None = None,
        text_encoder: TextEncoder | None = None,
        allow_download: bool = False,
    ):
        self._config = config
        self._device = device
        self._dtype = dtype
        self._image_encoder = None if image_encoder is None else placed(image_encoder, device, dtype)
        self._text_encoder = None if text_encoder is None else text_encoder.to(device)
        self._allow_download = allow_download

    @property
    def image_encoder(self) -> nn.Module:
        if self._image_encoder is None:
            encoder = build_image_encoder(self._config.image_encoder, self._allow_download)
            self._image_encoder = placed(encoder, self._device, self._dtype)
        return self._image_encoder

    @torch.inference_mode()
    def encode_images(self, images: list[np.ndarray]) -> Tensor:
        """Image tokens [B, M, D] of RGB uint8 images of any size."""
        pixels = torch.from_numpy(resize_images(images, self._config.image_size)).to(self._device)
        return self.image_encoder(standardise(pixels, self._config.image_encoder.input_size, self._dtype))

    @torch.inference_mode()
    def encode_text(
        self, instructions: list[str | None], warn: Callable[[str], None] = warn_on_stderr
    ) -> Tensor | None:
        """Text embeddings [B, E], or None for a model without text; `warn` is told of words that it does not understand."""
        if self._config.text_encoder is None:
            return None
        for instruction in instructions:
            if not isinstance(instruction, str) or not instruction.strip():
                raise ValueError(f"instruction: got {instruction!r}, expected what the robot is told to do, as text")
        if self._text_encoder is None:
            self._text_encoder = build_text_encoder(self._config.text_encoder, self._allow_download).to(self._device)
        self._text_encoder.warn = warn
        return self._text_encoder(instructions).to(self._dtype)
