"""The forecast node: camera images and an instruction in, predicted tracks out.

Callbacks only note the newest image of each camera. One worker thread takes the newest pair, forecasts and publishes,
so the executor stays free to answer services and parameter requests while the networks run.
"""

import sys
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajforecast_msgs.msg import PredictedTracks, TrackSummary
from trajforecast_msgs.srv import Predict

import trajforecast_model
from trajforecast_model.forecaster import Forecast, Forecaster
from trajforecast_model.tracks.overlay import draw_forecast
from trajforecast_ros import parameters
from trajforecast_ros.images import ImageRefused, to_message, to_rgb
from trajforecast_ros.messages import Circumstances, Source, nanoseconds, summary_message, tracks_message
from trajforecast_ros.pairing import Frame, Pairing
from trajforecast_ros.qos import LATCHED, NEWEST_IMAGE, RESULT
from trajforecast_ros.running import run
from trajforecast_ros.statistics import Published, Statistics

HOUSEKEEPING_PERIOD = 0.1  # seconds
DIAGNOSTICS_PERIOD = 1.0


@dataclass(frozen=True)
class Job:
    """One forecast to make."""

    frames: dict[str, Frame]
    instruction: str
    num_samples: int
    solver_steps: int  # 0: the checkpoint's own
    seed: int
    answer: Future | None = None  # of a ~/predict call, set to a Predict.Response


class ForecastNode(Node):
    """Raises ValueError or OSError when the parameters or the checkpoint are no good."""

    def __init__(self, **node_options):
        super().__init__("forecast_node", **node_options)
        self._settings = parameters.declare(self)
        self._forecaster = self._load()

        now = time.monotonic()
        # A model that was trained without text needs none.
        self._needs_instruction = self._forecaster.config.text_encoder is not None
        self._instruction = self._settings.instruction.strip()
        self._enabled = self._settings.enabled
        self._pairing = Pairing(self._settings.views, self._settings.max_pair_skew, self._settings.camera_timeout, now)
        self._statistics = Statistics(now)
        self._requests: deque[Job] = deque()
        self._refused: set[tuple[str, str]] = set()
        self._earliest_next = now
        self._last_housekeeping = now
        # The moment as of which cameras are judged silent.
        self._judged_at = now
        self._skipped_judging = False
        self._closing = False
        # Guards everything above that callbacks and the worker share; notified when there may be something to do.
        self._wake = threading.Condition()

        self._set_up_topics()
        self._worker = threading.Thread(target=self._work, name="forecast", daemon=True)
        self._worker.start()
        if self._lacks_instruction():
            topic = self.resolve_topic_name("~/instruction")
            self.get_logger().info(f"waiting for an instruction on {topic} (or set the parameter instruction)")

    # Setting up and tearing down

    def _load(self) -> Forecaster:
        wanted = self._settings
        started = time.monotonic()
        self.get_logger().info(f"loading checkpoint {wanted.checkpoint} on {wanted.device}")
        forecaster = Forecaster.from_pretrained(
            _shipped_or_given(wanted.checkpoint), device=wanted.device, dtype=wanted.dtype
        )
        height, width = forecaster.config.image_size
        gray = np.full((height, width, 3), 128, dtype=np.uint8)
        # The first forecast is slow (allocation, kernel choice); make it before anybody waits for one.
        forecaster.predict(
            dict.fromkeys(wanted.views, gray),
            "warm up",
            k=wanted.num_samples,
            steps=wanted.solver_steps or None,
            seed=0,
        )
        self.get_logger().info(f"{forecaster.model_id} is ready after {time.monotonic() - started:.1f} s")
        return forecaster

    def _set_up_topics(self) -> None:
        overridable = QoSOverridingOptions.with_default_policies()
        self._tracks_publisher = self.create_publisher(
            PredictedTracks, "predicted_tracks", RESULT, qos_overriding_options=overridable
        )
        self._summary_publisher = self.create_publisher(
            TrackSummary, "predicted_tracks/summary", RESULT, qos_overriding_options=overridable
        )
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        views = self._settings.views
        self._overlay_publishers = {view: self.create_publisher(Image, f"~/overlay/{view}", RESULT) for view in views}
        for view in views:
            topic, message_type = f"{view}/image_raw", Image
            if self._settings.image_transport == "compressed":
                # The transport's name goes behind the topic that the user may have remapped.
                topic, message_type = f"{self.resolve_topic_name(topic)}/compressed", CompressedImage
            self.create_subscription(
                message_type, topic, partial(self._on_image, view), NEWEST_IMAGE, qos_overriding_options=overridable
            )
        self.create_subscription(String, "~/instruction", self._on_instruction, LATCHED)
        self.create_service(Predict, "~/predict", self._on_predict)
        self.create_service(SetBool, "~/enable", self._on_enable)
        # A clock of its own: simulated time may stand still, and a camera that is missing then is missing too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(HOUSEKEEPING_PERIOD, self._on_housekeeping, clock=steady)
        self.create_timer(DIAGNOSTICS_PERIOD, self._on_diagnostics, clock=steady)

    def close(self) -> None:
        """Ends the worker after the forecast it is at, and gives everything back."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._worker.join(timeout=30)
        self.destroy_node()

    # Callbacks, on the executor's thread

    def _on_image(self, view: str, message: Image | CompressedImage) -> None:
        with self._wake:
            self._pairing.add(Frame(view, message, nanoseconds(message.header), time.monotonic()))
            self._wake.notify()

    def _on_instruction(self, message: String) -> None:
        instruction = message.data.strip()
        with self._wake:
            changed = instruction != self._instruction
            self._instruction = instruction
            self._wake.notify()
        if changed and instruction:
            self.get_logger().info(f"instruction: {instruction}")
        elif changed:
            self.get_logger().info("the instruction was emptied; waiting for a new one")

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        with self._wake:
            self._enabled = request.data
            self._wake.notify()
        response.success = True
        response.message = "forecasting" if request.data else "paused"
        return response

    async def _on_predict(self, request: Predict.Request, response: Predict.Response) -> Predict.Response:
        with self._wake:
            job = Job(
                self._pairing.newest(self._judged_at),
                request.instruction.strip() or self._instruction,
                request.num_samples or self._settings.num_samples,
                request.num_solver_steps or self._settings.solver_steps,
                self._seed() if request.seed < 0 else request.seed,
                answer=Future(),
            )
            response.message = self._why_not(job)
            if not response.message:
                self._requests.append(job)
                self._wake.notify()
        return response if response.message else await job.answer

    def _why_not(self, job: Job) -> str:
        """What a ~/predict call lacks; empty when it can be carried out."""
        if not job.frames:
            return f"no image from {' or '.join(self._settings.views)}; are the cameras publishing?"
        if self._needs_instruction and not job.instruction:
            return "there is no instruction; put one into the request or publish it on ~/instruction"
        if job.num_samples > parameters.MAX_SAMPLES:
            return f"num_samples is {job.num_samples}, at most {parameters.MAX_SAMPLES} can be had"
        if job.solver_steps > parameters.MAX_SOLVER_STEPS:
            return f"num_solver_steps is {job.solver_steps}, at most {parameters.MAX_SOLVER_STEPS} can be had"
        return ""

    def _on_housekeeping(self) -> None:
        now = time.monotonic()
        with self._wake:
            # When this thread itself was held up, images may be waiting for it, and their cameras are not silent: they
            # are judged the next time, when it has taken those images.
            held_up = now - self._last_housekeeping > 3 * HOUSEKEEPING_PERIOD
            self._skipped_judging = held_up and not self._skipped_judging
            if not self._skipped_judging:
                self._judged_at = now
            self._last_housekeeping = now
            changes = self._pairing.changes(self._judged_at)
            skew_warning = self._pairing.skew_warning(self._judged_at)
            # A camera that has just gone missing may make the other's image ready to go alone.
            self._wake.notify()
        for change in changes:
            # Two calls: rclpy ties a severity to the line that logs.
            if change.present:
                self.get_logger().info(change.text)
            else:
                self.get_logger().warning(change.text)
        if skew_warning:
            self.get_logger().warning(skew_warning)

    def _on_diagnostics(self) -> None:
        now = time.monotonic()
        with self._wake:
            heard = self._pairing.newest(self._judged_at)
            left_out = self._pairing.dropped.copy()
            waiting_for = None
            if not self._enabled:
                waiting_for = "~/enable"
            elif self._lacks_instruction():
                waiting_for = "an instruction"
            elif not heard:
                waiting_for = "images"
        missing = [view for view in self._settings.views if view not in heard]
        status = self._statistics.status(now, self.get_fully_qualified_name(), missing, waiting_for, left_out)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(message)

    # The worker

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                response = self._run(job)
            except Exception:
                if self._closing or not self.context.ok():
                    return
                # A forecast that fails must not end the node: the next images may do.
                self._statistics.dropped("failed")
                self.get_logger().error(f"the forecast failed:\n{traceback.format_exc()}")
                reason = traceback.format_exc().strip().splitlines()[-1]
                response = Predict.Response(success=False, message=f"the forecast failed: {reason}")
            if job.answer is not None:
                job.answer.set_result(response)
                # The executor sleeps until something happens, and an answer from another thread does not wake it.
                self.executor.wake()

    def _next_job(self) -> Job | None:
        """Waits for a ~/predict call or a new pair of images; None when the node closes."""
        with self._wake:
            while not self._closing:
                if self._requests:
                    return self._requests.popleft()
                now = time.monotonic()
                ready = self._enabled and not self._lacks_instruction() and now >= self._earliest_next
                frames = self._pairing.take(self._judged_at) if ready else None
                if frames:
                    if self._settings.max_rate > 0:
                        self._earliest_next = now + 1 / self._settings.max_rate
                    wanted = self._settings
                    return Job(frames, self._instruction, wanted.num_samples, wanted.solver_steps, self._seed())
                self._wake.wait(timeout=max(self._earliest_next - now, 0) or None)
        return None

    def _run(self, job: Job) -> Predict.Response:
        images = self._decode(job.frames)
        if not images:
            return Predict.Response(success=False, message="no camera sends images that can be used; see the log")
        started = time.monotonic()
        forecast = self._forecaster.predict(
            images, job.instruction, k=job.num_samples, steps=job.solver_steps or None, seed=job.seed
        )
        circumstances = Circumstances(
            sources=[_source(job.frames[view], images[view]) for view in forecast.views],
            instruction=job.instruction,
            model_id=self._forecaster.model_id,
            compute_time=time.monotonic() - started,
        )
        tracks = tracks_message(forecast, circumstances)
        summary = summary_message(forecast, circumstances)
        if not self.context.ok():
            return Predict.Response(success=False, message="the node is shutting down")
        self._tracks_publisher.publish(tracks)
        self._summary_publisher.publish(summary)
        self._note_published(circumstances, max(job.frames[view].arrived for view in forecast.views))
        self._publish_overlays(images, forecast, circumstances)
        message = f"{len(forecast.views)} views, {job.num_samples} samples in {circumstances.compute_time:.2f} s"
        return Predict.Response(success=True, message=message, tracks=tracks, summary=summary)

    def _decode(self, frames: dict[str, Frame]) -> dict[str, np.ndarray]:
        """The pictures that can be used, uint8 [height, width, 3]; the others are named once."""
        images = {}
        for view, frame in frames.items():
            kind = getattr(frame.message, "encoding", None) or getattr(frame.message, "format", "")
            try:
                images[view] = to_rgb(frame.message)
                self._refused = {refused for refused in self._refused if refused[0] != view}
            except ImageRefused as error:
                self._statistics.dropped("refused")
                if (view, kind) not in self._refused:
                    self._refused.add((view, kind))
                    self.get_logger().error(f"images of camera {view} are refused: {error}")
        return images

    def _note_published(self, circumstances: Circumstances, arrived: float) -> None:
        now = time.monotonic()
        newest = max(nanoseconds(source.header) for source in circumstances.sources)
        age = (self.get_clock().now().nanoseconds - newest) / 1e9 if newest else None
        self._statistics.published(Published(now, now - arrived, circumstances.compute_time, age))

    def _publish_overlays(
        self, images: dict[str, np.ndarray], forecast: Forecast, circumstances: Circumstances
    ) -> None:
        for index, source in enumerate(circumstances.sources):
            publisher = self._overlay_publishers[source.view]
            if publisher.get_subscription_count():
                picture = draw_forecast(images[source.view], forecast.tracks[index], forecast.mean_track[index])
                publisher.publish(to_message(picture, source.header))

    def _lacks_instruction(self) -> bool:
        return self._needs_instruction and not self._instruction

    def _seed(self) -> int:
        if self._settings.seed >= 0:
            return self._settings.seed
        return int(np.random.default_rng().integers(2**31))


def _shipped_or_given(checkpoint: str) -> str:
    """The folder of a checkpoint that ships with the package, if `checkpoint` is the name of one."""
    shipped = Path(trajforecast_model.__file__).parent / "checkpoints" / checkpoint
    return str(shipped) if shipped.is_dir() and not Path(checkpoint).is_dir() else checkpoint


def _source(frame: Frame, image: np.ndarray) -> Source:
    height, width, _ = image.shape
    return Source(frame.view, frame.message.header, width, height)


def main(arguments: list[str] | None = None) -> int:
    return run(ForecastNode, arguments, close=ForecastNode.close)


if __name__ == "__main__":
    sys.exit(main())
