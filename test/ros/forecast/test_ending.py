"""Signals end forecast_node in the middle of what cannot end by itself, and leave nothing behind."""

import os
import re
import signal
from pathlib import Path

import pytest
from robot import NODE, Robot, settings
from trajforecast_msgs.srv import Predict


def shared_memory_of(process_id: int | str) -> set[Path]:
    """DDS's segments that a process has mapped."""
    return set(map(Path, re.findall(r"/dev/shm/fastrtps_\S+", Path(f"/proc/{process_id}/maps").read_text())))


def ends_well(node, with_signal: signal.Signals) -> bool:
    segments = shared_memory_of(node.process.pid) - shared_memory_of("self")
    assert segments
    assert node.stop(with_signal) == 0, node.output
    assert "Traceback" not in node.output
    return not any(segment.exists() for segment in segments)


@pytest.fixture
def endless_compiler(tmp_path, monkeypatch):
    """A compiler that never ends; its process id stands in this file once it is called."""
    process_id, compiler = tmp_path / "process_id", tmp_path / "compiler"
    compiler.write_text(f"#!/bin/sh\necho $$ > {process_id}.new && mv {process_id}.new {process_id}\nexec sleep 3600\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    yield process_id
    os.kill(int(process_id.read_text()), signal.SIGKILL)


def test_a_signal_while_it_compiles(start_program, listener, tiny_checkpoint, endless_compiler):
    node = start_program(NODE, settings(tiny_checkpoint, instruction="go", compile=True))
    listener.wait_for(endless_compiler.exists, "compiling")

    assert ends_well(node, signal.SIGINT)


def test_a_signal_while_a_long_call_is_answered_beside_the_stream(start_program, listener, tiny_checkpoint):
    node = start_program(NODE, settings(tiny_checkpoint, instruction="go"))
    robot = Robot(listener)
    robot.wait_until_connected(node)
    robot.forecast_of(stamp=1)
    listener.wait_for(robot.predict.service_is_ready, "the service")
    answer = robot.predict.call_async(Predict.Request(num_samples=64, num_solver_steps=1000))
    for stamp in range(2, 6):
        robot.forecast_of(stamp)
    assert not answer.done()

    assert ends_well(node, signal.SIGTERM)
