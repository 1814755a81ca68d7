"""Jobs in several processes, each with a worker of its own that is expensive to make.

Unlike a pool of the standard library's, it lets a job be chosen by what the worker did before (whose scene it has
loaded), and its processes end when the program is killed.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

# What runs jobs: `run_in_processes`, or what `jobs_on_ray` gives (ray_jobs.py).
RunJobs = Callable[[Callable[[], Callable[[Any], Any]], Callable[[Any], Any], int], Iterator[tuple[Any, Any]]]


def run_in_processes(
    make_worker: Callable[[], Callable[[Any], Any]], next_job: Callable[[Any], Any], processes: int
) -> Iterator[tuple[Any, Any]]:
    """Yields (job, result) as jobs are done, in no particular order.

    Args:
        make_worker: called once in each process; what it returns is called with each job. Picklable, as are jobs and
            results.
        next_job: called here with the last job of an idle process (None at first); gives its next one, or None if
            there is nothing to do for it now. It is asked again whenever a result has been taken.

    Raises:
        ValueError, OSError: from the worker; OSError if a process died.
    """
    # Spawned, not forked: a forked copy of an initialised simulator is not safe to use.
    context = multiprocessing.get_context("spawn")
    pool: list[_Process] = []
    try:
        first_jobs = [job for job in (next_job(None) for _ in range(processes)) if job is not None]
        for job in first_jobs:
            pool.append(_Process(context, make_worker))
            pool[-1].give(job)
        while busy := {process.connection: process for process in pool if process.busy}:
            for connection in wait(busy):
                process = busy[connection]
                result = process.take()
                yield process.job, result
            for process in pool:
                if not process.busy:
                    job = next_job(process.job)
                    if job is not None:
                        process.give(job)
    finally:
        for process in pool:
            process.stop()


class _Process:
    def __init__(self, context, make_worker):
        self.job = None
        self.busy = False
        self.connection, other_end = context.Pipe()
        # A daemon is ended by a program that ends by itself; for others, see _end_with_the_program.
        self._process = context.Process(target=_work, args=(other_end, make_worker), daemon=True)
        self._process.start()
        other_end.close()

    def give(self, job) -> None:
        self.job, self.busy = job, True
        try:
            self.connection.send(job)
        except BrokenPipeError:
            raise self._died() from None

    def take(self):
        self.busy = False
        try:
            result = self.connection.recv()
        except EOFError:
            raise self._died() from None
        if isinstance(result, Exception):
            raise result
        return result

    def stop(self) -> None:
        self._process.terminate()
        self._process.join()
        self.connection.close()

    def _died(self) -> OSError:
        self._process.join()
        return OSError(
            f"a worker process died (exit code {self._process.exitcode}); if memory was short, use fewer --workers. "
            "The same command continues where this one stopped"
        )


def _work(connection: Connection, make_worker) -> None:
    threading.Thread(target=_end_with_the_program, daemon=True).start()
    try:
        worker = None
        while True:
            job = connection.recv()
            try:
                worker = worker or make_worker()
                connection.send(worker(job))
            except (ValueError, OSError) as error:
                connection.send(error)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # the program is gone or going


def _end_with_the_program() -> None:
    """A killed program cannot say so, and a job may take minutes more."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
