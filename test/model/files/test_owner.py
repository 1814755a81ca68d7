"""A folder has one owner, and none once that one is gone, however it went."""

import signal
import subprocess
import sys

import pytest

from trajforecast_model.files.owner import owning

HOLDS = """
import multiprocessing, os, sys, time
from pathlib import Path
from trajforecast_model.files.owner import owning

def live_on():  # as a run's loader processes do; what it says comes after what a fork does first
    print(os.getpid(), flush=True)
    time.sleep(3600)

if __name__ == "__main__":
    with owning(Path(sys.argv[1])):
        if sys.argv[2:]:
            multiprocessing.get_context("fork").Process(target=live_on).start()
        else:
            print("held", flush=True)
        sys.stdin.read()
"""


def holder(folder, *arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_second_owner_is_refused_by_the_name_of_the_first(tmp_path):
    with holder(tmp_path / "run") as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=rf"run is in use by process {first.pid} on "), owning(tmp_path / "run"):
            pass
        first.stdin.close()
        first.wait(300)
    with owning(tmp_path / "run"), pytest.raises(ValueError, match="in use by"), owning(tmp_path / "run"):
        pass


def test_nothing_is_left_of_an_owner_that_was_killed_though_its_children_live_on(tmp_path):
    with holder(tmp_path, "with a child") as first:
        child = int(first.stdout.readline())
        first.kill()
        first.wait(300)
        try:
            with owning(tmp_path):
                pass
        finally:
            subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(child)], check=True)
