"""Where PyTorch runs: on a CPU each thread that uses it costs, and not everything that it does can be cut short.

Each thread that runs PyTorch on a CPU has a set of threads of its own, for as long as it lives. With two such sets there
are more threads than cores, so OpenMP lets all of them sleep between operations, and to wake them takes longer than most
operations of a small network: its forecasts take 1.5 to 2 times as long. So what runs it once ends before the next begins.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn


class Abandonable(threading.Thread):
    """A thread for what cannot always be cut short: the program may leave it behind, and ends without it by `end_process`."""

    def __init__(self, function: Callable[..., None], *arguments, name: str):
        super().__init__(target=function, args=arguments, name=name, daemon=True)


def end_process(code: int) -> NoReturn:
    """Ends this process at once, when all that matters is closed.

    Python's own end takes seconds with PyTorch on a busy machine, and would stop an Abandonable in the middle of
    PyTorch's code, which aborts the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
