"""A function of tensors as a CUDA graph: its kernels recorded once and replayed without the CPU, which a small batch waits for.

Nothing is compiled, so it is there at the second call of a shape, and what is replayed are the very kernels of the function.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

_WARM_UPS = 3  # before recording: libraries reserve memory and choose their kernels in the first calls


class _Recording:
    """The function, recorded with inputs of its own, which are to be filled before a replay."""

    def __init__(self, function: Callable[..., Tensor], inputs: list[Any], structure: pytree.TreeSpec):
        self._inputs = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in inputs]
        arguments = pytree.tree_unflatten(self._inputs, structure)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                function(*arguments)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = function(*arguments)

    def replay(self, inputs: list[Any]) -> Tensor:
        for ours, given in zip(self._inputs, inputs, strict=True):
            if isinstance(ours, Tensor):
                ours.copy_(given)
        self._graph.replay()
        return self._output.clone()  # the next replay writes over it, and a solver of second order still needs the last


def graphed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, recorded anew for each shape of its arguments when it is first called with it.

    What it returns has no gradient. It may compute gradients itself, into tensors that stay where they are.

    Args:
        function: takes tensors, or tuples and lists of them, on one GPU; it may neither read them on the CPU nor decide by
            what they hold, nor bring anything to the GPU. What else it is given belongs to the shape.
    """
    recordings: dict[tuple, _Recording] = {}

    def run(*arguments) -> Tensor:
        leaves, structure = pytree.tree_flatten(arguments)
        key = (str(structure), *(_kind(leaf) for leaf in leaves))
        if key not in recordings:
            recordings[key] = _Recording(function, leaves, structure)
        return recordings[key].replay(leaves)

    return run


def _kind(leaf: Any) -> tuple:
    return (leaf.shape, leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else (leaf,)
