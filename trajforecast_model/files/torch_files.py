"""Files of tensors that come from elsewhere, read without running anything that is pickled in them."""

import argparse
import contextlib
import pathlib
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

# What trainings keep beside their weights: settings, paths and numpy's numbers. These hold values and run nothing.
_NUMBERS = (np.float64(0), np.float32(0), np.int64(0))
_HARMLESS = [
    argparse.Namespace,
    pathlib.PosixPath,
    np.dtype,
    _NUMBERS[0].__reduce__()[0],  # what makes one of them again
    *(type(number.dtype) for number in _NUMBERS),
]


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
        with _allowed(_HARMLESS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a file of plain tensors ({_reason(error)})") from error


def _allowed(classes: list) -> contextlib.AbstractContextManager:
    """PyTorch 2.4 cannot allow more than its own classes for one file: there such a file is refused."""
    allow = getattr(torch.serialization, "safe_globals", None)
    return contextlib.nullcontext() if allow is None else allow(classes)


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
