"""What is read off official weights, whosever they are, and how they become networks of ours."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from trajforecast_model.files.state_dicts import read_state_dict

HEAD_DIM = 64  # channels of an attention head, in all published sizes: the weights do not tell
_TABLE_ERROR = 1e-2  # of a table in half precision; those of two grids differ by about 1
_LONGEST_REASON = 300  # characters


def read_network(path: Path, network: str, choice: str | None, sign: str) -> dict[str, Tensor]:
    """The tensors of one network, however they are wrapped; says which they are.

    Args:
        choice: "model", "ema" or an entry of the file; None takes the moving average where there is one.
        sign: a key that no other network has.

    Raises:
        ValueError: as `read_state_dict`.
    """
    found = read_state_dict(path, choice, sign, "choose one by --weights NAME")
    print(f"{network}: {path}, {found}")
    return found.tensors


def depth_of(state: dict[str, Tensor], prefix: str) -> int:
    """How many blocks there are whose keys begin so."""
    return 1 + max((int(key.split(".")[1]) for key in state if key.startswith(f"{prefix}.")), default=-1)


def tensor_of(state: dict[str, Tensor], key: str, network: str, official: str) -> Tensor:
    """Raises ValueError where a file that should be of an `official` network has no such tensor."""
    if key not in state:
        raise ValueError(f"the {network} file has no tensor {key!r}: it is no official {official}")
    return state[key]


def is_same_table(table: Tensor, expected: Tensor) -> bool:
    """Whether a table of fixed positions is the expected one, in whatever precision it was kept."""
    return torch.allclose(table.float().reshape(expected.shape), expected, atol=_TABLE_ERROR)


def filled(make: Callable[[], nn.Module], weights: dict[str, Tensor], path: Path) -> nn.Module:
    """A network of ours with the tensors themselves as its weights, no copies.

    Raises:
        ValueError: where names or shapes are others.
    """
    with torch.device("meta"):
        module = make()
    try:
        module.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:_LONGEST_REASON]
        raise ValueError(f"{path} does not fit the official layout: {what}") from error
    return module
