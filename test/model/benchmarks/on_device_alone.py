"""What a CUDA graph cannot record, refused on shapes alone: like a GPU, they have no values that the CPU can read."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class OnDeviceAlone(TorchDispatchMode):
    """Within it every tensor is on the meta device, and none is brought there from the CPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        assert all(tensor.is_meta for tensor in given), f"{function} reads a tensor of the CPU"
        assert "lift_fresh" not in str(function), f"{function} brings a tensor from the CPU"
        return function(*args, **(kwargs or {}))
