"""Real nodes as processes of their own, talked to over DDS from the test's process."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# Before rclpy is imported. A domain of this run's own keeps other ROS processes on the machine out.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Assigning a wrong type to a message field is an error instead of silent nonsense.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from tiny_checkpoint import write_tiny_checkpoint

from trajforecast_ros.resources import dds_settings

os.environ.update(dds_settings())

DISCOVERY_SECONDS = 20
START_SECONDS = 60


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny_checkpoint"))


@pytest.fixture(scope="session")
def ros():
    rclpy.init()
    yield
    rclpy.try_shutdown()


class Listener:
    """The test's own node, and waiting on what comes in instead of sleeping."""

    def __init__(self, name: str):
        self.node = Node(name)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)

    def wait_for(self, condition, what: str, seconds: float = DISCOVERY_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not happen within {seconds} s")
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, client, request, seconds: float = DISCOVERY_SECONDS):
        self.wait_for(client.service_is_ready, f"service {client.srv_name}", seconds)
        future = client.call_async(request)
        with contextlib.suppress(AssertionError):
            self.wait_for(future.done, "", seconds / 2)
        if not future.done():  # DDS drops an answer if the server has not found its caller yet
            future = client.call_async(request)
            self.wait_for(future.done, f"an answer of {client.srv_name}", seconds / 2)
        return future.result()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def listener(ros, request):
    listener = Listener(f"listener_{abs(hash(request.node.name)) % 10**6}")
    yield listener
    listener.close()


class NodeProcess:
    """A node in a process of its own; its output goes to a file that failing tests show."""

    def __init__(self, module: str, arguments: list[str], log: Path):
        self._log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                # One thread: the networks are tiny, and the machine has other things to do.
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def said(self, text: str) -> bool:
        """Whether the node's output has the text; an error when the node has ended without it."""
        if text in self.output:
            return True
        assert self.process.poll() is None, f"the node ended without saying {text!r}:\n{self.output}"
        return False

    def stop(self, with_signal: int = signal.SIGINT, seconds: float = 30) -> int:
        """Asks the node to end and gives its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def ros_arguments(parameters: dict, remappings: dict[str, str] | None = None) -> list[str]:
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        arguments += ["-p", f"{name}:={value}"]
    for name, target in (remappings or {}).items():
        arguments += ["-r", f"{name}:={target}"]
    return arguments


@pytest.fixture
def start_node(tmp_path):
    """start_node("trajforecast_ros.forecast.forecast_node", {"num_samples": 2}) -> NodeProcess, ended after the test."""
    yield from starting_nodes(tmp_path)


@pytest.fixture(scope="module")
def start_module_node(tmp_path_factory):
    """As start_node, for a node that a whole module's tests share."""
    yield from starting_nodes(tmp_path_factory.mktemp("nodes"))


def starting_nodes(logs: Path):
    started = []

    def start(module: str, parameters: dict, remappings: dict[str, str] | None = None) -> NodeProcess:
        node = NodeProcess(module, ros_arguments(parameters, remappings), logs / f"node_{len(started)}.log")
        started.append(node)
        return node

    yield start
    for node in started:
        node.kill()
