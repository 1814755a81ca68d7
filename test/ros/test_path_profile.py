"""The profile of the node's path: who is charged for what, and one profile of the real node."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from trajforecast_ros import path_profile
from trajforecast_ros.path_profile import NETWORKS, StageTimer, table


class Clock:
    """Time that passes only when somebody says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_a_stage_spends_in_another_counts_for_that_one_alone(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)

    def spend(seconds: float) -> None:
        clock.now += seconds

    work = SimpleNamespace(inner=lambda: spend(2.0))

    def outer() -> None:
        spend(1.0)
        work.inner()
        work.inner()
        spend(0.5)

    work.outer = outer
    timer, told = StageTimer(), []
    timer.time(work, "inner", "within")
    timer.time(work, "outer", "around")
    published = timer.on_published(lambda statistics, forecast: told.append(forecast))

    work.outer()
    published(None, SimpleNamespace(latency=7.0))
    work.inner()
    published(None, SimpleNamespace(latency=3.0))

    assert timer.forecasts == [{"within": 4.0, "around": 1.5, "total": 7.0}, {"within": 2.0, "total": 3.0}]
    assert len(told) == 2, "the node's own statistics go on"


def test_the_table_adds_up():
    text = table([{"making": 0.001, NETWORKS: 0.25, "total": 0.254}] * 3)

    for stage, milliseconds in (
        ("making", 1.0),
        ("waking up, locks, the rest", 3.0),
        ("**all but the networks**", 4.0),
        ("networks", 250.0),
        ("image callback to published", 254.0),
    ):
        assert f"| {stage} | {milliseconds:.2f} | {milliseconds:.2f} |" in text


@pytest.mark.slow
def test_the_real_node_is_profiled(tiny_checkpoint, capfd):
    run = ["--checkpoint", str(tiny_checkpoint), "--forecasts", "2", "--samples", "1", "--image-size", "48", "64"]
    assert run_in_a_process(run) == 0

    printed = capfd.readouterr().out
    for stage in ("images to RGB", "making PredictedTracks", "publishing", "networks", "image callback to published"):
        assert f"| {stage} |" in printed


def run_in_a_process(arguments: list[str]) -> int:
    """The profile replaces functions by timed ones, for good, in the process that it runs in."""
    return subprocess.run([sys.executable, "-m", path_profile.__name__, *arguments], timeout=180).returncode
