"""ROS nodes as child processes on a DDS domain of their own, and none left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from trajforecast_ros.resources import dds_settings

GRACE_SECONDS = 10
# The room of each node.
NODES = {
    "forecast_node": "forecast",
    "policy_node": "policy",
    "track_policy_node": "policy",
    "simulator_node": "policy",
    "record_node": "recording",
    "replay_node": "recording",
}


class NodeFailed(RuntimeError):
    """A node ended that should not have; the message has the end of its log."""


class Nodes:
    """Child processes, started one by one and ended together; a context manager.

    Args:
        logs: folder for one log file a node.
        domain: ROS_DOMAIN_ID of all of them.
    """

    def __init__(self, logs: Path, domain: int):
        self._logs = logs
        self._environment = {
            **os.environ,
            **dds_settings(),
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "PYTHONUNBUFFERED": "1",
        }
        self._processes: dict[str, subprocess.Popen] = {}

    def start(self, name: str, parameters: dict[str, object]) -> None:
        """Runs one of NODES with ROS parameters."""
        arguments = [sys.executable, "-m", f"trajforecast_ros.{NODES[name]}.{name}", "--ros-args"]
        for parameter, value in parameters.items():
            arguments += ["-p", f"{parameter}:={value}"]
        with open(self._log(name), "wb") as log:
            self._processes[name] = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self._environment
            )

    def ended(self, name: str) -> bool:
        """Whether the node has ended well.

        Raises:
            NodeFailed: when it ended with an error.
        """
        code = self._processes[name].poll()
        if code:
            raise NodeFailed(f"{name} ended with exit code {code}:\n{self.log_tail(name)}")
        return code is not None

    def check_running(self, name: str) -> None:
        """Raises NodeFailed when the node is not there any more."""
        if self.ended(name):
            raise NodeFailed(f"{name} ended too early:\n{self.log_tail(name)}")

    def log_tail(self, name: str, lines: int = 30) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Interrupts every node, and kills those that are still there after a grace time."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + GRACE_SECONDS
        for process in self._processes.values():
            try:
                process.wait(timeout=max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(self, *_) -> None:
        self.stop()
