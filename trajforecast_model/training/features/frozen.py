"""Networks that a run uses and does not train: which they are, and what tells their weights from others."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from trajforecast_model.checkpoint import weights_digest


def is_frozen(network: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in network.parameters())


def same_network(build: Callable[[Any], nn.Module], ours: Any, theirs: Any) -> bool:
    """Whether two configs of a network mean the same one, though its place may have another name in each."""
    if ours == theirs:
        return True
    if ours is None or theirs is None or replace(ours, source=theirs.source) != theirs:
        return False
    return weights_digest(build(ours)) == weights_digest(build(theirs))
