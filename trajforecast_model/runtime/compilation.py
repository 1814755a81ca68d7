"""torch.compile, or CUDA graphs alone, of what a forecast runs many times."""

from collections.abc import Callable

import torch
from torch import Tensor

from trajforecast_model.runtime.cuda_graphs import graphed

# Those of torch.compile: kernels fused; the same replayed as CUDA graphs; that, and for each product the fastest kernel.
# And without a compiler: the function's own kernels replayed as CUDA graphs.
MODES = ("default", "reduce-overhead", "max-autotune", "graphs")


def check_mode(mode: str) -> None:
    """Raises ValueError for a mode that there is not, or one that needs a GPU where there is none."""
    if mode not in MODES:
        raise ValueError(f"compile: got mode {mode!r}, expected one of {', '.join(MODES)}")
    if mode == "graphs" and not torch.cuda.is_available():
        raise ValueError("compile: mode 'graphs' replays CUDA graphs, and this PyTorch sees no GPU; take another mode")


def compiled(
    function: Callable[..., Tensor], mode: str = "default", backend: str | Callable = "inductor"
) -> Callable[..., Tensor]:
    """The function, compiled anew for each shape of its arguments when it is first called with it.

    Raises:
        ValueError: for what `check_mode` refuses; when it is called, where it cannot be compiled, say without a compiler.
    """
    check_mode(mode)
    if mode == "graphs":
        return graphed(function)
    fast = torch.compile(function, mode=mode, backend=backend, dynamic=False)

    def run(*inputs: Tensor) -> Tensor:
        try:
            outputs = fast(*inputs)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            why = str(error).splitlines()[0]
            raise ValueError(
                f"the networks cannot be compiled here: {why}. A CPU needs a C++ compiler (g++); or do without compiling"
            ) from error
        # A CUDA graph writes every output over its last one, which a solver of second order or the caller may still need.
        return outputs if mode == "default" else outputs.clone()

    return run
