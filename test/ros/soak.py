"""A soak of forecast_node: both cameras at 30 Hz with every fault that robots have, and a report in the end.

    python test/ros/soak.py --minutes 30

Faults take turns, a phase each: a camera that stops, images of another size, encodings nobody can read, torn and empty
images, clocks that jump, storms of parameters, deactivate and activate, cleanup and configure, subscribers that leave.
It reports crashes, what became of every image, latency and memory at the start and the end, and exits 1 when the node
died, an image is unaccounted for, or it did not end cleanly.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import rclpy
from conftest import Listener, NodeProcess, program, ros_arguments
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from robot import NODE, SIZES, Robot, header, picture
from sensor_msgs.msg import Image

from trajforecast_ros.images import to_message

RATE = 30.0  # Hz
PHASES = (
    "calm",
    "effector stops",
    "another size",
    "encoding 16UC1",
    "torn images",
    "empty images",
    "clock jumps ahead",
    "clock jumps back",
    "no stamps",
    "parameter storm",
    "deactivate and activate",
    "cleanup and configure",
    "no subscriber",
)


@dataclass
class Report:
    frames: int
    forecasts: int  # that came
    forecasts_made: int  # as the node counts them
    crashed: bool
    exit_code: int
    images_received: int
    images_forecast: int
    images_dropped: dict[str, int]
    images_unaccounted: int  # neither forecast nor dropped, and waiting no more
    parameter_changes: int
    refused_parameter_changes: int
    parameter_answer_s: tuple[float, float]  # median and 99th percentile, while it forecasts
    memory_mib: list[int]  # resident, after the first forecast and after each tenth of the frames
    latency_start_s: tuple[float, float]  # median and 99th percentile of the first tenth
    latency_end_s: tuple[float, float]  # of the last tenth

    @property
    def good(self) -> bool:
        return not self.crashed and self.exit_code == 0 and self.images_unaccounted == 0 and self.forecasts > 0


class Soak:
    def __init__(self, listener: Listener, node: NodeProcess, frames: int, phase_frames: int):
        self.listener, self.node = listener, node
        self.frames, self.phase_frames = frames, phase_frames
        self.robot = Robot(listener)
        self.change_state = listener.node.create_client(ChangeState, "/forecast_node/change_state")
        self.set_parameters = listener.node.create_client(SetParameters, "/forecast_node/set_parameters")
        self.sent_at: dict[int, float] = {}
        self.latencies: list[float] = []
        self.answers = Counter()
        self.answer_times: list[float] = []
        self.frame = 0

    def run(self) -> Report:
        self.robot.wait_until_connected(self.node)
        self.robot.forecast_of(stamp=1)
        memory = [self._memory()]
        self._seen = len(self.robot.tracks)
        timer = self.listener.node.create_timer(1 / RATE, self._tick)
        while self.frame < self.frames and self.node.process.poll() is None:
            self.listener.executor.spin_once(timeout_sec=0.1)
            self._note_forecasts()
            if self.frame >= len(memory) * self.frames / 10 and self.node.process.poll() is None:
                memory.append(self._memory())
        timer.cancel()
        crashed = self.node.process.poll() is not None
        values = {} if crashed else self._settled_diagnostics()
        exit_code = self.node.process.returncode if crashed else self.node.stop()
        dropped = {key.split(": ")[1]: int(n) for key, n in values.items() if key.startswith("images dropped")}
        received, forecast = int(values.get("images received", 0)), int(values.get("images forecast", 0))
        tenth = max(1, len(self.latencies) // 10)
        return Report(
            frames=self.frame,
            forecasts=len(self.latencies),
            forecasts_made=int(values.get("forecasts", 0)),
            crashed=crashed,
            exit_code=exit_code,
            images_received=received,
            images_forecast=forecast,
            images_dropped=dropped,
            images_unaccounted=abs(received - forecast - sum(dropped.values()) - int(values.get("images waiting", 0))),
            parameter_changes=self.answers["accepted"],
            refused_parameter_changes=self.answers["refused"],
            parameter_answer_s=_percentiles(self.answer_times),
            memory_mib=memory,
            latency_start_s=_percentiles(self.latencies[:tenth]),
            latency_end_s=_percentiles(self.latencies[-tenth:]),
        )

    def _tick(self) -> None:
        phase_number, position = divmod(self.frame, self.phase_frames)
        phase = PHASES[phase_number % len(PHASES)]
        if position == 0:
            self._enter(phase, PHASES[(phase_number - 1) % len(PHASES)])
        stamp = 10 + self.frame
        if phase == "clock jumps ahead":
            stamp += 10_000_000
        elif phase == "clock jumps back":
            stamp = 1 + position % 5
        elif phase == "no stamps":
            stamp = 0
        for view in SIZES:
            if phase == "effector stops" and view == "effector":
                continue
            self.robot.cameras[view].publish(self._image(view, stamp, phase))
        self.sent_at[stamp] = time.monotonic()
        if phase == "parameter storm":
            wild = {"num_samples": int(self.frame % 7), "max_rate": float(self.frame % 3), "seed": self.frame}
            self._set(wild)
        self.frame += 1

    def _enter(self, phase: str, previous: str) -> None:
        def change(transition: int) -> None:
            self.change_state.call_async(ChangeState.Request(transition=Transition(id=transition)))

        if phase == "deactivate and activate":
            change(Transition.TRANSITION_DEACTIVATE)
            change(Transition.TRANSITION_DEACTIVATE)  # impossible the second time
            change(Transition.TRANSITION_ACTIVATE)
        elif phase == "cleanup and configure":
            change(Transition.TRANSITION_DEACTIVATE)
            change(Transition.TRANSITION_CLEANUP)
            change(Transition.TRANSITION_CONFIGURE)
            change(Transition.TRANSITION_ACTIVATE)
        elif phase == "no subscriber":
            self.robot.stop_listening_to_forecasts()
        if previous == "no subscriber" and self.frame > 0:
            self.robot.listen_to_forecasts()
        if previous == "parameter storm":
            calm = {"num_samples": 2, "max_rate": 0.0, "seed": 0}
            self._set(calm)

    def _image(self, view: str, stamp: int, phase: str) -> Image:
        image = picture(view)
        if phase == "another size":
            image = np.ascontiguousarray(np.tile(image, (2, 3, 1))[: 7 + self.frame % 60])
        message = to_message(image, header(view, stamp))
        if phase == "no stamps":
            message.header.stamp.nanosec = 0
        elif phase == "encoding 16UC1":
            message.encoding = "16UC1"
        elif phase == "torn images":
            message.data = message.data[: len(message.data) // 2]
        elif phase == "empty images":
            message.data, message.height, message.width = [], 0, 0
        return message

    def _set(self, values: dict) -> None:
        asked_at = time.monotonic()

        def answered(future) -> None:
            self.answer_times.append(time.monotonic() - asked_at)
            for result in future.result().results:
                self.answers["accepted" if result.successful else "refused"] += 1

        request = SetParameters.Request(
            parameters=[Parameter(n, value=v).to_parameter_msg() for n, v in values.items()]
        )
        self.set_parameters.call_async(request).add_done_callback(answered)

    def _note_forecasts(self) -> None:
        now = time.monotonic()
        for message in self.robot.tracks[self._seen :]:
            sent = self.sent_at.get(message.header.stamp.sec)
            if sent is not None:
                self.latencies.append(now - sent)
        self.robot.tracks.clear()
        self.robot.summaries.clear()
        self._seen = 0

    def _settled_diagnostics(self) -> dict[str, str]:
        """The values of two reports in a row that agree: nothing is under way any more."""

        def settled() -> bool:
            last = [self._values(message) for message in self.robot.diagnostics[-2:]]
            return len(last) == 2 and all(last[0][k] == last[1][k] for k in ("images received", "forecasts"))

        self.robot.diagnostics.clear()
        self.listener.wait_for(settled, "the node's rest")
        return self._values(self.robot.diagnostics[-1])

    @staticmethod
    def _values(message) -> dict[str, str]:
        return {pair.key: pair.value for pair in message.status[0].values}

    def _memory(self) -> int:
        status = Path(f"/proc/{self.node.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024


def _percentiles(latencies: list[float]) -> tuple[float, float]:
    if not latencies:
        return (float("nan"), float("nan"))
    return tuple(round(float(value), 4) for value in np.percentile(latencies, (50, 99)))


def soak(listener: Listener, checkpoint: Path | str, frames: int, phase_frames: int, log: Path) -> tuple[Report, str]:
    """Runs it and gives the report and what the node said."""
    parameters = {"checkpoint": checkpoint, "num_samples": 2, "instruction": "go", "camera_timeout": 1.0}
    node = NodeProcess(NODE, ros_arguments(parameters), log, program)
    try:
        return Soak(listener, node, frames, phase_frames).run(), node.output
    finally:
        node.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--checkpoint", default="libero_object_tiny")
    arguments = parser.parse_args()
    os.environ.pop("ROS_PYTHON_CHECK_FIELDS", None)
    rclpy.init()
    frames = round(arguments.minutes * 60 * RATE)
    log = Path(tempfile.mkdtemp(prefix="soak_")) / "forecast_node.log"
    report, _ = soak(Listener("soak"), arguments.checkpoint, frames, round(5 * RATE), log)
    print(json.dumps(asdict(report), indent=2))
    print(f"the node's log: {log}")
    rclpy.try_shutdown()
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
