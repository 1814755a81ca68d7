"""The profile of the node's path: who is charged for what, and one profile of the real node."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from trajforecast_ros import path_profile
from trajforecast_ros.path_profile import (
    NETWORKS,
    PUBLISHING_SUMMARY,
    PUBLISHING_TRACKS,
    SUMMARISING,
    TO_ALL,
    TO_SUBSCRIBER,
    TO_TRACKS,
    StageTimer,
    table,
    within_budget,
)


class Clock:
    """Time that passes only when somebody says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_a_stage_spends_in_another_counts_for_that_one_alone(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setattr(time, "monotonic", clock)

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
    work.publish = lambda topic: spend(0.5)
    timer.time(work, "publish", lambda topic: f"publishing {topic}")
    publish, published = work.publish, timer.on_published(lambda statistics, forecast: told.append(forecast))

    work.outer()
    publish("PredictedTracks")
    spend(0.25)
    published(None, SimpleNamespace(at=clock.now, latency=7.0))
    publish("PredictedTracks")
    published(None, SimpleNamespace(at=clock.now, latency=3.0))

    assert timer.forecasts == [
        {"within": 4.0, "around": 1.5, PUBLISHING_TRACKS: 0.5, TO_ALL: 7.0, TO_TRACKS: 6.75},
        {PUBLISHING_TRACKS: 0.5, TO_ALL: 3.0, TO_TRACKS: 3.0},
    ]
    assert timer.image_callbacks == [clock.now - 7.5, clock.now - 3.0]
    assert len(told) == 2, "the node's own statistics go on"


def test_the_table_adds_up():
    seconds = {"making": 0.001, NETWORKS: 0.25, SUMMARISING: 0.002, PUBLISHING_SUMMARY: 0.001, TO_TRACKS: 0.254}
    text = table([{**seconds, TO_SUBSCRIBER: 0.256, TO_ALL: 0.2575}] * 3)

    for stage, milliseconds in (
        ("making", 1.0),
        ("waking up, locks, the rest", 3.0),
        ("**PredictedTracks published: all but the networks**", 4.0),
        ("from there to its subscriber", 2.0),
        (SUMMARISING, 2.0),
        (PUBLISHING_SUMMARY, 1.0),
        ("locks, the rest", 0.5),
        ("**both published: all but the networks**", 7.5),
        ("networks", 250.0),
        (TO_SUBSCRIBER, 256.0),
        (TO_ALL, 257.5),
    ):
        assert f"| {stage} | {milliseconds:.2f} | {milliseconds:.2f} |" in text


def test_forecasts_in_time_are_counted_with_their_effort():
    told = within_budget([0.1, 0.3, 0.31], [(9, 8), (3, 8), (2, 8), (3, 8)], 0.3)
    assert told == "2 of 3 forecasts within 0.3 s; solver steps x samples: 3 x 8 (2), 2 x 8 (1)"


@pytest.mark.slow
def test_the_real_node_is_profiled(tiny_checkpoint, capfd):
    run = ["--checkpoint", str(tiny_checkpoint), "--forecasts", "2", "--samples", "1", "--image-size", "48", "64"]
    run += ["--latency-budget", "60"]
    assert run_in_a_process(run) == 0

    printed = capfd.readouterr().out
    for stage in (
        "images to RGB",
        "resizing",
        "making PredictedTracks",
        PUBLISHING_TRACKS,
        SUMMARISING,
        TO_SUBSCRIBER,
        TO_ALL,
    ):
        assert f"| {stage} |" in printed
    assert "2 of 2 forecasts within 60 s; solver steps x samples: 1 x 1 (2)" in printed


def run_in_a_process(arguments: list[str]) -> int:
    """The profile replaces functions by timed ones, for good, in the process that it runs in."""
    return subprocess.run([sys.executable, "-m", path_profile.__name__, *arguments]).returncode
