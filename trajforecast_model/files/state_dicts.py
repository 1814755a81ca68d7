"""State dicts of other projects: where they lie in a file, which of several is meant, and what their keys stand behind.

A training saves its network in all sorts of wrappings: beside the optimiser's state, beside a moving average of itself,
within a lightning module, compiled, distributed. So neither the entry nor the prefix has to have a certain name.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from trajforecast_model.files.torch_files import read_plain

_WRAPPERS = {"module", "_orig_mod", "model", "net"}  # DDP and averaging, torch.compile, modules that hold a network
_NO_NETWORK = re.compile(r"optimi[sz]|^optim(_|$)|sched|scaler|rng", re.IGNORECASE)
_AVERAGE = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow)([._]|$)", re.IGNORECASE)
_COUNTER = "n_averaged"  # what torch.optim.swa_utils.AveragedModel holds beside the network


@dataclass(frozen=True)
class StateDict:
    """A network's tensors, and where they were."""

    tensors: dict[str, Tensor]
    entry: str  # of the file's dict, "" for that dict itself; "a.b" is b in a
    prefix: str  # that is taken off the keys
    is_average: bool  # a moving average of the trained network
    others: int = 0  # tensors of the same entry that have another prefix

    @property
    def name(self) -> str:
        """What a user calls it by."""
        return ".".join(filter(None, (self.entry, self.prefix.removesuffix(".") if self.others else "")))

    def __str__(self) -> str:
        kind = "moving average" if self.is_average else "model"
        where = f"the {kind} in entry {self.entry!r}" if self.entry else f"the {kind}, all of the file"
        behind = f", keys without their prefix {self.prefix!r}" if self.prefix else ""
        return f"{where}{behind}" + (f"; {self.others} other tensors left out" if self.others else "")


def read_state_dict(
    path: Path, choice: str | None = None, sign: str | None = None, remedy: str = "save one of them alone"
) -> StateDict:
    """The network in a file of tensors, wherever it lies there. An optimiser's state is never taken for one.

    Args:
        choice: "model" or "ema" (its moving average), or the name of an entry; None takes the average where there is one.
        sign: a key that the network has, if that is known: what has none is not it.
        remedy: for the message where several are there, what to do.

    Raises:
        ValueError: for a missing or damaged file, one with other objects in it, one without a state dict, or one with
            several of which none was chosen.
    """
    return find_state_dict(read_plain(path), path, choice, sign, remedy)


def find_state_dict(
    content: Any, path: Path, choice: str | None = None, sign: str | None = None, remedy: str = "save one of them alone"
) -> StateDict:
    """As `read_state_dict`, in the content of the file `path`."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a state dict")
    entries = dict(_entries(content))
    found = [one for entry, tensors in entries.items() for one in _behind(sign, entry, tensors)] if sign else []
    if not found:
        outer = {entry for entry in entries if any(_is_within(other, entry) for other in entries)}
        found = [_unwrapped(entry, tensors) for entry, tensors in entries.items() if entry not in outer]
    if not found:
        raise ValueError(f"{path} holds no tensors, expected a state dict")
    return _chosen(found, choice, path, remedy)


def shared_prefix(keys: list[str]) -> str:
    """The wrappers' names that all keys begin with: "module._orig_mod."."""
    prefix = ""
    while keys and all("." in key for key in keys):
        first = {key.partition(".")[0] for key in keys}
        if len(first) > 1 or not first <= _WRAPPERS:
            break
        prefix += f"{first.pop()}."
        keys = [key.partition(".")[2] for key in keys]
    return prefix


def _entries(content: Mapping, entry: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """All dicts of named tensors in there, by their place."""
    if {"state", "param_groups"} <= content.keys():  # an optimiser's, whatever it is called
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if any(tensor.is_floating_point() and tensor.ndim for tensor in tensors.values()):
        yield entry, tensors
    for key, value in content.items():
        if isinstance(value, Mapping) and not _NO_NETWORK.search(str(key)):
            yield from _entries(value, f"{entry}.{key}" if entry else str(key))


def _is_within(entry: str, outer: str) -> bool:
    return entry != outer and (not outer or entry.startswith(f"{outer}."))


def _behind(sign: str, entry: str, tensors: dict[str, Tensor]) -> Iterator[StateDict]:
    """The networks among the tensors of an entry: one for each prefix that `sign` has there."""
    for key in tensors:
        if key == sign or key.endswith(f".{sign}"):
            prefix = key.removesuffix(sign)
            yield _without(prefix, entry, tensors)


def _unwrapped(entry: str, tensors: dict[str, Tensor]) -> StateDict:
    return _without(shared_prefix([key for key in tensors if not _is_counter(key)]), entry, tensors)


def _without(prefix: str, entry: str, tensors: dict[str, Tensor]) -> StateDict:
    network = {key: value for key, value in tensors.items() if not _is_counter(key)}
    own = {key.removeprefix(prefix): value for key, value in network.items() if key.startswith(prefix)}
    is_average = bool(_AVERAGE.search(f"{entry}.{prefix}")) or len(network) < len(tensors)
    return StateDict(own, entry, prefix, is_average, others=len(network) - len(own))


def _is_counter(key: str) -> bool:
    return key.rpartition(".")[2] == _COUNTER


def _chosen(found: list[StateDict], choice: str | None, path: Path, remedy: str) -> StateDict:
    averages, models = ([one for one in found if one.is_average is kind] for kind in (True, False))
    if choice is None:
        fitting = averages if len(averages) == 1 and len(models) <= 1 else found
    elif choice in ("ema", "model"):
        fitting = averages if choice == "ema" else models
    else:
        fitting = [one for one in found if choice in (one.name, one.entry)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(repr(one.name) for one in fitting or found) or "one"
    if fitting:
        raise ValueError(f"{path} holds several sets of weights, {names}; {remedy}")
    wanted = {"ema": "no moving average", "model": "a moving average alone"}.get(choice, f"no weights {choice!r}")
    raise ValueError(f"{path} has {wanted}; what it holds is {names}")
