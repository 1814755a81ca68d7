"""What PyTorch's loader raises for its processes, in one line where it is not a bug."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loader_errors_explained() -> Iterator[None]:
    """Raises ValueError, OSError and MemoryError of a loader process as that process did, and OSError where one died."""
    try:
        yield
    except (RuntimeError, ValueError, OSError, MemoryError) as error:
        told = str(error).rstrip().splitlines() or [""]
        if told[0].startswith("DataLoader worker (pid"):
            raise OSError(
                f"a loader process died ({told[0]}); if memory was short, lower data.workers. The same command continues "
                "from the last checkpoint"
            ) from error
        if "in DataLoader worker process" not in told[0]:
            raise
        # The loader puts the process's whole traceback into the message; its last line is what the process said.
        kind, colon, what = told[-1].partition(": ")
        what = what if colon else kind
        if isinstance(error, RuntimeError):
            if "/torch_" in what and "No space left on device" in what:
                raise OSError(
                    f"shared memory is full, through which loader processes hand over their batches ({what}); lower "
                    "data.workers, or make /dev/shm larger (docker run --shm-size 8g)"
                ) from error
            raise
        as_raised = next(known for known in (ValueError, OSError, MemoryError) if isinstance(error, known))
        raise as_raised(what) from error
