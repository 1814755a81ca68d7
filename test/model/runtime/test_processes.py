"""Processes that run jobs end with the program, however that ends."""

import os
import select
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os
import sys
from pathlib import Path

from trajforecast_model.runtime.processes import run_in_processes


class Endless:
    def __init__(self):
        self.file = Path(sys.argv[1])

    def __call__(self, job):
        self.file.with_suffix(".new").write_text(str(os.getpid()))
        self.file.with_suffix(".new").rename(self.file)
        while True:
            pass


if __name__ == "__main__":
    list(run_in_processes(Endless, lambda last: 0, 1))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_job_that_never_ends_is_over_when_the_program_is_killed(number, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, str(tmp_path / "program.py"), str(pid_file)]) as program:
        while not pid_file.exists():
            assert program.poll() is None
        worker = os.pidfd_open(int(pid_file.read_text()))
        program.send_signal(number)
        assert program.wait() != 0
    try:
        _wait_for_end(worker, seconds=60)
    finally:
        os.close(worker)


def _wait_for_end(process: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(1000 * seconds):
        signal.pidfd_send_signal(process, signal.SIGKILL)
        raise AssertionError(f"the worker still ran {seconds} s after the program had ended")
