"""Work that is done at once, where PyTorch may use several cores too: numpy and OpenCV let go of Python meanwhile.

Threads are made anew each time: that costs a tenth of a millisecond, and none is lost to a fork.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def map_over_cores(function: Callable, *sequences: Sequence) -> list:
    """list(map(function, *sequences)), with as many items at the same time as PyTorch may use cores."""
    first, *others = zip(*sequences, strict=True)
    cores = torch.get_num_threads()
    if not others or cores < 2:
        return [function(*item) for item in (first, *others)]
    with ThreadPoolExecutor(min(len(others), cores - 1)) as threads:
        waiting = [threads.submit(function, *item) for item in others]
        return [function(*first), *(item.result() for item in waiting)]


def on_passing_thread(function: Callable[[], Result]) -> Result:
    """function(), called on a thread that is gone afterwards, and with it PyTorch's threads for that one.

    Each thread that runs PyTorch on a CPU has a set of threads of its own, for as long as it lives. With two such sets
    there are more threads than cores, so OpenMP lets all of them sleep between operations, and to wake them takes longer
    than most operations of a small network: its forecasts take 1.5 to 2 times as long.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()
