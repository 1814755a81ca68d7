"""A model of which each rank keeps a part (PyTorch's FSDP2): weights, gradients, moments and their average, 1/n of each.

A block is put together where it runs, forward and backward, and taken apart behind it. Numbers that stand alone, such as
TrajLoom's scales, cannot be divided: each rank has them, and their gradients are averaged here.

torch.distributed.tensor is imported where a model is divided: it takes a second, which every other run would wait for.
"""

import inspect
import warnings

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from trajforecast_model.training.configs import OptimisationConfig
from trajforecast_model.training.distributed import World

_PROJECTION = "project"  # what networks call of a cross-attention besides forward, outside of its block


def check_can_shard(optimisation: OptimisationConfig) -> None:
    """Raises ValueError where a model cannot be divided among ranks, with what to do instead."""
    if optimisation.compile:
        raise ValueError(
            "optimisation.parallel: fsdp puts blocks together in the middle of what optimisation.compile would compile; "
            "set compile to false, or parallel to ddp"
        )
    if "ignored_params" not in inspect.signature(_fully_shard()).parameters:
        raise _too_old()


def shard(root: nn.Module, world: World, compress: bool) -> None:
    """Divides the trained weights among the ranks, in place: afterwards the parameters are DTensors.

    Args:
        root: whose forward runs all of the model; the same weights on every rank, on the CPU so that none needs room
            for all of them on its GPU.
        compress: reduce gradients in bfloat16.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, register_fsdp_forward_method

    fully_shard = _fully_shard()
    # Keys and values are views of one product. What warns of it would only matter if they were overwritten in training.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    left_alone = {weight for weight in root.parameters() if not weight.requires_grad or weight.ndim == 0}
    settings = dict(
        mesh=init_device_mesh(world.device.type, (world.size,)),
        mp_policy=MixedPrecisionPolicy(reduce_dtype=torch.bfloat16 if compress else None),
        ignored_params=left_alone,
    )
    units = {block for module in root.modules() if isinstance(module, nn.ModuleList) for block in module}
    units |= {module for module in root.modules() if hasattr(module, _PROJECTION)}
    for module in reversed(list(root.modules())):  # the inner ones first
        if module in units and any(weight.requires_grad for weight in module.parameters()):
            fully_shard(module, **settings)
            if hasattr(module, _PROJECTION):
                register_fsdp_forward_method(module, _PROJECTION)
    fully_shard(root, **settings)
    for tensor in (*left_alone, *root.buffers()):
        tensor.data = tensor.data.to(world.device)


def average_what_is_not_divided(parameters: list[nn.Parameter], world: World) -> None:
    """The gradients that FSDP leaves alone, in place: afterwards they are the mean over the ranks."""
    gradients = [weight.grad for weight in parameters if weight.grad is not None and not is_divided(weight)]
    if gradients:
        means = world.sum(torch.stack(gradients)) / world.size
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean)


def clip_gradients(parameters: list[nn.Parameter], limit: float, world: World) -> Tensor:
    """torch.nn.utils.clip_grad_norm_ of a divided model: the norm is that of all ranks' parts together."""
    with_gradient = [weight for weight in parameters if weight.grad is not None]
    squares = torch.zeros(2, dtype=torch.float64, device=world.device)  # of divided ones and of those that all have
    for weight in with_gradient:
        squares[0 if is_divided(weight) else 1] += part(weight.grad).double().square().sum()
    own, common = squares
    norm = (world.sum(own.clone()) + common).sqrt().float()
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)  # as PyTorch's own
    for weight in with_gradient:
        part(weight.grad).mul_(factor)
    return norm


def is_divided(tensor: Tensor) -> bool:
    """Whether it is a DTensor."""
    return hasattr(tensor, "placements")


def part(tensor: Tensor) -> Tensor:
    """What this rank has of it, in the same memory: the tensor itself where it is not divided."""
    return tensor.detach().to_local() if is_divided(tensor) else tensor


def whole(own: Tensor, weight: nn.Parameter) -> Tensor:
    """Of parts like those of `weight`, put together. Called on every rank."""
    if not is_divided(weight) or own.ndim == 0:  # the optimiser's step counts are the same everywhere
        return own
    from torch.distributed.tensor import DTensor

    placed = (weight.device_mesh, weight.placements)
    return DTensor.from_local(own, *placed, run_check=False, shape=weight.shape, stride=weight.stride()).full_tensor()


def part_of(tensor: Tensor, weight: nn.Parameter) -> Tensor:
    """This rank's part, of a tensor that is divided as `weight` is and the same on every rank."""
    if not is_divided(weight) or tensor.ndim == 0:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    on_device = tensor.to(weight.device)
    divided = distribute_tensor(on_device, weight.device_mesh, weight.placements, src_data_rank=None)
    return divided.to_local().clone()  # not a view, which would keep all of it


def _fully_shard():
    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError:
        raise _too_old() from None
    return fully_shard


def _too_old() -> ValueError:
    return ValueError(f"optimisation.parallel: fsdp needs a newer PyTorch than {torch.__version__}; use ddp")
