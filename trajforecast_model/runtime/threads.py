"""Where PyTorch runs: on a CPU each thread that uses it costs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def on_passing_thread(function: Callable[[], Result]) -> Result:
    """function(), called on a thread that is gone afterwards, and with it PyTorch's threads for that one.

    Each thread that runs PyTorch on a CPU has a set of threads of its own, for as long as it lives. With two such sets
    there are more threads than cores, so OpenMP lets all of them sleep between operations, and to wake them takes longer
    than most operations of a small network: its forecasts take 1.5 to 2 times as long.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()
