"""Real nodes as processes of their own, talked to over DDS from the test's process."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from trajforecast_ros.domains import reserve_domain

# Before rclpy is imported. A domain of this run's own keeps other ROS processes on the machine out.
os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Assigning a wrong type to a message field is an error instead of silent nonsense.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"

import pytest
import rclpy
from forked_nodes import ForkedNode
from manager import Manager
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from robot import settings
from tiny_checkpoint import write_tiny_checkpoint
from waiting import LIMIT_SECONDS

from trajforecast_ros.forecast.forecast_node import ForecastNode
from trajforecast_ros.resources import dds_settings

os.environ.update(dds_settings())

# What may still be on its way from a node that has ended.
LAST_WORDS_SECONDS = 20
# DDS drops an answer if the server has not found its caller yet: asked again after this time, many times what it takes.
ASK_AGAIN_SECONDS = 20


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

    def wait_for(self, condition, what: str) -> None:
        """Spins until the condition holds. A node that fails meanwhile ends the wait, as a node's end does soon."""
        deadline = time.monotonic() + LIMIT_SECONDS
        running = [node for node in NodeProcess.started if node.process.poll() is None]
        while not condition():
            for node in [node for node in running if node.process.poll() is not None]:
                running.remove(node)
                if condition():  # its end may be what is waited for
                    return
                assert node.process.returncode == 0, f"a node ended before {what} happened:\n{node.output}"
                deadline = min(deadline, time.monotonic() + LAST_WORDS_SECONDS)
            if time.monotonic() > deadline:
                said = "\n".join(node.output for node in NodeProcess.started)
                raise AssertionError(f"{what} did not happen; the nodes said:\n{said}")
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, client, request, again: bool = True):
        """The answer. `again`: whether a call that gets none may be made once more."""
        self.wait_for(client.service_is_ready, f"service {client.srv_name}")
        calls = [client.call_async(request)]
        ask_again = time.monotonic() + ASK_AGAIN_SECONDS

        def answered() -> bool:
            if again and len(calls) == 1 and time.monotonic() > ask_again:
                calls.append(client.call_async(request))
            return any(call.done() for call in calls)

        self.wait_for(answered, f"an answer of {client.srv_name}")
        return next(call.result() for call in calls if call.done())

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def listener(ros, request):
    listener = Listener(f"listener_{abs(hash(request.node.name)) % 10**6}")
    yield listener
    listener.close()


@pytest.fixture
def manager(listener):
    return Manager(listener)


@pytest.fixture
def node_in_this_process(listener, tiny_checkpoint):
    """Makes a node on the listener's executor, which goes on when the test spins it."""
    nodes = []

    def make(checkpoint=tiny_checkpoint, **parameters) -> ForecastNode:
        chosen = settings(str(checkpoint), **parameters)
        node = ForecastNode(parameter_overrides=[Parameter(name, value=value) for name, value in chosen.items()])
        nodes.append(node)
        listener.executor.add_node(node)
        return node

    yield make
    while nodes:
        listener.executor.remove_node(nodes[-1])
        nodes.pop().close()
    # Its state machine and it hold each other: until both are collected the other tests see a node without topics.
    gc.collect()


class NodeProcess:
    """A node in a process of its own; its output goes to a file that failing tests show."""

    started: ClassVar[list["NodeProcess"]] = []  # and not killed yet

    def __init__(self, module: str, arguments: list[str], log: Path, start=ForkedNode):
        self._log = log
        self._log.touch()
        self.process = start(module, arguments, log)
        self.started.append(self)

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def said(self, text: str) -> bool:
        """Whether the node's output has the text; an error when the node has ended without it."""
        if text in self.output:
            return True
        assert self.process.poll() is None, f"the node ended without saying {text!r}:\n{self.output}"
        return False

    def stop(self, with_signal: int = signal.SIGINT) -> int:
        """Asks the node to end and gives its exit code."""
        self.process.send_signal(with_signal)
        return self.exit_code()

    def exit_code(self) -> int:
        """Waits for the node's end."""
        return self.process.wait(timeout=LIMIT_SECONDS)

    def kill(self) -> None:
        if self in self.started:
            self.started.remove(self)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def program(module: str, arguments: list[str], log: Path) -> subprocess.Popen:
    """`python -m module *arguments`, as people start it."""
    with open(log, "wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )


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


@pytest.fixture
def start_program(tmp_path):
    """As start_node, for a node whose start or end is what is tested."""
    yield from starting_nodes(tmp_path, program)


@pytest.fixture(scope="module")
def start_module_node(tmp_path_factory):
    """As start_node, for a node that a whole module's tests share."""
    yield from starting_nodes(tmp_path_factory.mktemp("nodes"))


def starting_nodes(logs: Path, how=ForkedNode):
    started = []

    def start(module: str, parameters: dict, remappings: dict[str, str] | None = None) -> NodeProcess:
        node = NodeProcess(module, ros_arguments(parameters, remappings), logs / f"node_{len(started)}.log", how)
        started.append(node)
        return node

    yield start
    for node in started:
        node.kill()
