"""Timing of two or more programs in turn, so that a machine whose speed drifts is as kind to one as to the other."""

import contextlib
import gc
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import torch

Seconds = dict[str, list[float]]  # of each run, by program
Programs = dict[str, Callable[[], object]]


def interleaved(programs: Programs, runs: int, warm_up: Programs | None = None) -> tuple[Seconds, Seconds]:
    """Seconds, and CPU seconds of all threads, of each run of each program, A B A B ..., after one each that does not count.

    On a machine that does other work too, CPU seconds on one thread (OMP_NUM_THREADS=1) say more; several threads count
    while they wait for each other.

    Args:
        programs: each waits for its own results, as one that returns numpy arrays does.
        warm_up: shorter programs to begin with, where one run of each takes long.
    """
    if runs < 1:
        raise ValueError(f"runs: got {runs}, expected at least 1")
    seconds: Seconds = {name: [] for name in programs}
    cpu_seconds: Seconds = {name: [] for name in programs}
    for program in (warm_up or programs).values():
        program()
    for _ in range(runs):
        for name, program in programs.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            program()
            seconds[name].append(time.perf_counter() - start)
            cpu_seconds[name].append(time.process_time() - cpu_start)
    return seconds, cpu_seconds


def span(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def ratios(numerator: list[float], denominator: list[float]) -> dict[str, float]:
    """Of runs that followed each other."""
    return span([a / b for a, b in zip(numerator, denominator, strict=True)])


def peak_memory() -> int:
    """The most physical memory this process ever held, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_memory_of(prepare: Callable[..., Callable[[], object]], *arguments, device: str) -> dict[str, int]:
    """Bytes that a run of `prepare(*arguments)()` needs: on a CPU in a process of its own, on a GPU beside what it holds.

    Returns:
        "peak" during the run, of what PyTorch allocated on a GPU or of the process on a CPU; "added_by_the_run", what of
        that was not held before it began, as weights and inputs are.

    Raises:
        OSError: where the process was killed, as the system does when memory is short.
    """
    if (
        torch.device(device).type == "cuda"
    ):  # whose memory PyTorch counts itself; a process takes long to begin with a GPU
        held = torch.cuda.memory_allocated(device)
        memory = _measure_memory(prepare, arguments, device)
        return memory | {"peak": memory["peak"] - held}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(_measure_memory, prepare, arguments, device).result()
        except BrokenProcessPool as error:
            raise OSError(
                "the process whose memory was measured was killed; if memory was short, measure something smaller"
            ) from error


def _measure_memory(prepare: Callable[..., Callable[[], object]], arguments: tuple, device: str) -> dict[str, int]:
    run = prepare(*arguments)
    gc.collect()
    return memory_of(run, device)


def memory_of(run: Callable[[], object], device: str | torch.device) -> dict[str, int]:
    """What `peak_memory_of` returns, of a run in this process; on a CPU with all else that it holds."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        peak = torch.cuda.max_memory_allocated(device)
    else:
        before = _forget_peak_memory()
        run()
        peak = _peak_memory_since()
    return {"peak": peak, "added_by_the_run": max(peak - before, 0)}


def _forget_peak_memory() -> int:
    """Lowers Linux's record of this process's peak, which loading may have set, to what it holds now; elsewhere keeps it."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _peak_memory_since()


def _peak_memory_since() -> int:
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return peak_memory()
