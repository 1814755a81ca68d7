"""Work that is done at once, where PyTorch may use several cores too: numpy and OpenCV let go of Python meanwhile.

Threads are made anew each time: that costs a tenth of a millisecond, and none is lost to a fork.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch


def begin(function: Callable, *args) -> Callable:
    """Calls function(*args) on another thread; what is returned waits for the result."""
    if torch.get_num_threads() < 2:
        result = function(*args)
        return lambda: result
    thread = ThreadPoolExecutor(1)
    future = thread.submit(function, *args)
    thread.shutdown(wait=False)
    return future.result


def map_over_cores(function: Callable, *sequences: Sequence) -> list:
    """list(map(function, *sequences)), with as many items at the same time as PyTorch may use cores."""
    first, *others = zip(*sequences, strict=True)
    cores = torch.get_num_threads()
    if not others or cores < 2:
        return [function(*item) for item in (first, *others)]
    with ThreadPoolExecutor(min(len(others), cores - 1)) as threads:
        waiting = [threads.submit(function, *item) for item in others]
        return [function(*first), *(item.result() for item in waiting)]
