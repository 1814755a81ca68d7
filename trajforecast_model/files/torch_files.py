"""Files of tensors that come from elsewhere, read without running anything that is pickled in them."""

import argparse
import pathlib
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

# Classes that trainings keep beside their weights. They hold values and run nothing.
_HARMLESS = [argparse.Namespace, pathlib.PosixPath]


def read_plain(path: Path) -> Any:
    """What a .pt or .safetensors file holds, where that is tensors, numbers, text, and lists and dicts of these; on the CPU.

    Raises:
        ValueError: for a missing or damaged file, or one with other objects in it.
    """
    if not path.is_file():
        raise ValueError(f"weights file {path} does not exist")
    try:
        if _is_safetensors(path):
            return load_file(path)
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a file of plain tensors ({_reason(error)})") from error


def _is_safetensors(path: Path) -> bool:
    """By its beginning: the length of a header, eight bytes, and the header's brace. No pickle and no archive has one."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def _reason(error: Exception) -> str:
    text = str(error)
    foreign = re.search(r"GLOBAL (\S+)", text)
    if foreign:
        return f"it has objects of {foreign[1]} in it, which are not run; save its tensors alone"
    return text.splitlines()[0] if text else type(error).__name__
