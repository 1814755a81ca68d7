"""Nodes as processes forked from one that has imported what they import: seconds of CPU that only the first one takes.

What the start of a program itself does, and variables that are read while libraries are imported, need `start_program`.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "trajforecast_ros.forecast.forecast_node",
        "trajforecast_ros.policy.policy_node",
        "trajforecast_ros.policy.simulator_node",
        "trajforecast_ros.policy.track_policy_node",
        "trajforecast_ros.recording.record_node",
        "trajforecast_ros.recording.replay_node",
        # What a checkpoint's text encoder imports once it is loaded.
        "transformers.models.auto.modeling_auto",
        "transformers.models.auto.tokenization_auto",
        "transformers.models.bert.modeling_bert",
    ]
)


class ForkedNode:
    """What the tests use of subprocess.Popen."""

    def __init__(self, module: str, arguments: list[str], log: Path):
        where = (log, dict(os.environ), os.getcwd())
        self._process = CONTEXT.Process(target=_become, args=(module, arguments, *where))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(module: str, arguments: list[str], log: Path, environment: dict[str, str], folder: str) -> None:
    """`python -m module *arguments`"""
    for descriptor, path, how in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        os.dup2(os.open(path, how), descriptor)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[1:] = arguments  # its first is the module's file, as runpy has it
    sys.modules.pop(module, None)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a forked process ends without them
