"""The processes that train one model together, one a GPU, as torchrun starts them; or a single one without it."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

# Ranks wait for the first one while it writes a checkpoint. A dead peer is noticed at once: torchrun ends the others, and
# gloo sees the closed connection. Only a node that vanishes lets NCCL wait so long.
_PATIENCE = timedelta(minutes=60)
_OF_GLOO = "gloo/"  # in its errors, which have no class of their own: the file of its source that raised


@dataclass(frozen=True)
class World:
    device: torch.device
    rank: int = 0
    size: int = 1
    by_torchrun: bool = False  # then a single rank does what several do, so that it can be tried with one GPU

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes, logs and prints."""
        return self.rank == 0

    @property
    def is_shared(self) -> bool:
        return self.size > 1 or self.by_torchrun

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

    @contextmanager
    def lost_ranks_explained(self) -> Iterator[None]:
        """For what exchanges tensors besides computing: an error of the network becomes a ConnectionError."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not (isinstance(error, dist.DistError) or _OF_GLOO in str(error)):
                raise
            raise self._lost_ranks(error) from error

    def _reduce(self, values: Tensor, operation) -> Tensor:
        if dist.is_initialized():
            try:
                dist.all_reduce(values, operation)
            except RuntimeError as error:
                raise self._lost_ranks(error) from error
        return values

    def _lost_ranks(self, error: RuntimeError) -> ConnectionError:
        return ConnectionError(
            f"rank {self.rank} lost the other ranks; what went wrong is in the message of the rank that ended first "
            f"({str(error).splitlines()[0]})"
        )


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
    yield World(device, dist.get_rank(), size, by_torchrun=True)
    # Only after success: on the way out of an error it may wait for ranks that are waiting for this one.
    dist.destroy_process_group()
