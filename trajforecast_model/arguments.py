"""Arguments that several verbs of the command line share."""

import argparse


def add_machine(parser: argparse.ArgumentParser, dtype: str = "float32", device: str = "cpu") -> None:
    """Where the networks run and in which number format, with these defaults."""
    parser.add_argument("--device", default=device)
    parser.add_argument("--dtype", default=dtype, choices=["float32", "bfloat16"])


def integers(text: str) -> list[int]:
    """The type of an argument like 0,1,2."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers like 0,1,2, got {text!r}") from None
