"""Where tensors live: the name of a device, checked."""

import torch
from torch import nn


def checked_device(device: str | torch.device) -> torch.device:
    """Raises ValueError for anything but a CPU or CUDA device, and for a GPU that PyTorch does not see."""
    try:
        checked = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device: got {device!r}, expected cpu, cuda or cuda:N") from error
    # Not mps and others that PyTorch knows, which nothing here was tried on. On meta, which is for programs (bench
    # scaling) and no name for users, shapes alone are computed.
    if checked.type not in ("cpu", "cuda") and device != torch.device("meta"):
        raise ValueError(f"device: got {str(device)!r}, expected cpu, cuda or cuda:N: the networks run on no other")
    device = checked
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError("device: cuda asked for, but this PyTorch sees no GPU; use cpu or install a CUDA build")
        number = torch.cuda.device_count()
        if device.index is not None and device.index >= number:
            raise ValueError(
                f"device: got {device}, but this PyTorch sees {number} GPU(s); the last is cuda:{number - 1}"
            )
    return device


def slow_in(dtype: torch.dtype, device: torch.device) -> str | None:
    """What there is to say where arithmetic in this number format is far slower than in float32; None where it is not."""
    if dtype != torch.bfloat16 or device.type != "cpu" or _multiplies_bfloat16():
        return None
    return "this processor does not multiply bfloat16 numbers (no AVX512): float32 is several times faster here"


def _multiplies_bfloat16() -> bool:
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # not part of PyTorch's public interface
        return True


def placed(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The module there, for use and not for training."""
    return module.to(device, dtype).eval().requires_grad_(False)
