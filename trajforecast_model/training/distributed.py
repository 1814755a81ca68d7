"""The processes that train one model together, one a GPU, as torchrun starts them; or a single one without it."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

# Ranks wait for the first one while it writes a checkpoint. A dead peer is noticed at once: torchrun ends the others, and
# gloo sees the closed connection. Only a node that vanishes lets NCCL wait so long.
_PATIENCE = timedelta(minutes=60)


@dataclass(frozen=True)
class World:
    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes, logs and prints."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Adds `values` of all ranks up, in place: every rank gets the same bits.

        Raises:
            ConnectionError: where another rank has ended.
        """
        return self._reduce(values, dist.ReduceOp.SUM)

    def means(self, sums: dict[str, tuple[float, int]]) -> dict[str, float]:
        """Means over all ranks from each rank's (sum, count); a mean of nothing is left out.

        Args:
            sums: the same names in the same order on every rank.
        """
        totals = self.sum(torch.tensor(list(sums.values()), dtype=torch.float64)).tolist()
        return {name: total / count for name, (total, count) in zip(sums, totals, strict=True) if count}

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank. On the CPU, so that a GPU's queue of work is not waited for."""
        return bool(self._reduce(torch.tensor([int(flag)]), dist.ReduceOp.MAX).item())

    def check_same(self, **values) -> None:
        """Raises ValueError, on every rank, unless all ranks hold the same values (by their repr)."""
        for name, value in values.items():
            digest = int.from_bytes(hashlib.sha256(repr(value).encode()).digest()[:7], "big")
            extremes = self._reduce(torch.tensor([digest, -digest]), dist.ReduceOp.MAX)
            if extremes[0] != -extremes[1]:
                raise ValueError(
                    f"rank {self.rank} of {self.size} differs from the others in its {name}, here {value!r}: all need the "
                    "same config, the same data folder and the same run folder (on several nodes, a shared disk)"
                )

    def _reduce(self, values: Tensor, operation) -> Tensor:
        if dist.is_initialized():
            try:
                dist.all_reduce(values, operation)
            except RuntimeError as error:
                raise ConnectionError(
                    f"rank {self.rank} lost the other ranks; what went wrong is in the message of the rank that ended "
                    f"first ({str(error).splitlines()[0]})"
                ) from error
        return values


@contextmanager
def join_world() -> Iterator[World]:
    """Joins the ranks that torchrun's environment variables describe, be it one; without them, a world of one process.

    Raises:
        ValueError: where there are more ranks on this node than GPUs.
        ConnectionError: where the other ranks cannot be reached.
    """
    local_rank, size = int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    cuda = torch.cuda.is_available()
    if cuda and local_rank >= torch.cuda.device_count():
        raise ValueError(
            f"rank {local_rank} of this node has no GPU: there are {torch.cuda.device_count()}; lower --nproc-per-node"
        )
    device = torch.device("cuda", local_rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if size == 1 and not dist.is_torchelastic_launched():
        yield World(device)
        return
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
    except RuntimeError as error:
        raise ConnectionError(f"the {size} ranks did not find each other: {error}") from error
    yield World(device, dist.get_rank(), size)
    # Only after success: on the way out of an error it may wait for ranks that are waiting for this one.
    dist.destroy_process_group()


class SharedGradients:
    """The gradients of all parameters in one buffer, which a single all-reduce a step adds up over the ranks.

    In place of DistributedDataParallel: one fixed layout keeps a resumed run equal to the undisturbed one bit for bit
    (DDP lays its buckets out anew after the first step of a process), accumulation needs no special case, and losses
    need not go through one forward. The price is that the all-reduce does not overlap with the backward pass.
    """

    def __init__(self, parameters: list[nn.Parameter]):
        self._buffer = parameters[0].new_zeros(sum(parameter.numel() for parameter in parameters))
        start = 0
        for parameter in parameters:
            parameter.grad = self._buffer[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    def zero(self) -> None:
        self._buffer.zero_()

    def sum_over(self, world: World) -> None:
        world.sum(self._buffer)
