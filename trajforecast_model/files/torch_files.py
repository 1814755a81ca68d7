"""Files of torch.save that come from elsewhere, read without running anything that is pickled in them."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def read_plain(path: Path) -> Any:
    """What a .pt file holds, where that is tensors, numbers, text, and lists and dicts of these; on the CPU.

    Raises:
        ValueError: for a missing or damaged file, or one with other objects in it.
    """
    if not path.is_file():
        raise ValueError(f"weights file {path} does not exist")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a file of plain tensors ({reason})") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pt file, where they lie as people save them.

    Raises:
        ValueError: for a missing or damaged file, one with other objects in it, or one without a state dict.
    """
    content = read_plain(path)
    for wrapper in ("ema", "model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a state dict")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no tensors, expected a state dict")
    return {key.removeprefix("module.").removeprefix("_orig_mod."): value for key, value in tensors.items()}
