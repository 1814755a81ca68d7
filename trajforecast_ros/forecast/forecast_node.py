"""The forecast node: camera images and an instruction in, predicted tracks out. A lifecycle node.

unconfigured  parameters, all of them changeable, and ~/instruction, which sets one; diagnostics
configure     loads the checkpoint, warms it up, makes the other topics and services
active        forecasts
cleanup       gives all of that back

By default it configures and activates itself (parameter autostart).
"""

import gc
import sys
import time
import traceback
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rclpy._rclpy_pybind11 import RCLError
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.service import Service
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajforecast_msgs.srv import Predict

from trajforecast_model.forecaster import Forecaster
from trajforecast_model.runtime.threads import on_passing_thread
from trajforecast_ros.forecast import parameters
from trajforecast_ros.forecast.observing import Observer
from trajforecast_ros.forecast.outputs import Outputs
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.forecast.parameters import ForecastParameters
from trajforecast_ros.forecast.statistics import Published, Standing, Statistics
from trajforecast_ros.forecast.thread import ForecastThread, Result
from trajforecast_ros.forecast.transports import message_and_qos
from trajforecast_ros.images import ImageRefused
from trajforecast_ros.images.video import VideoDecoder, VideoImage
from trajforecast_ros.messages import nanoseconds
from trajforecast_ros.qos import LATCHED
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command

HOUSEKEEPING_PERIOD = 0.1  # seconds
DIAGNOSTICS_PERIOD = 1.0


class ForecastNode(LifecycleNode):
    """Raises ValueError when a parameter is no good."""

    def __init__(self, **node_options):
        super().__init__("forecast_node", **node_options)
        self._settings = parameters.declare(self)
        self._say_instruction()
        parameters.follow_changes(self, lambda: self._settings, self._check, self._apply)
        self._statistics = Statistics(time.monotonic())
        self._forecaster: Forecaster | None = None
        self._thread: ForecastThread | None = None
        self._outputs: Outputs | None = None
        self._observer: Observer | None = None
        self._own_subscriptions: list[Subscription] = []  # from configure to cleanup, as are the services
        self._own_services: list[Service] = []
        self._services_to_destroy: list[Service] = []  # when the calls that wait have their answers
        self._waiting_calls = 0
        self._last_housekeeping = time.monotonic()
        self._skipped_judging = False

        # For the node's life: one made anew would be given the latched instruction again, over newer parameters.
        self.create_subscription(String, "~/instruction", self._on_instruction, LATCHED)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A clock of its own: simulated time may stand still, and a camera that is missing then is missing too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(HOUSEKEEPING_PERIOD, self._on_housekeeping, clock=steady)
        self.create_timer(DIAGNOSTICS_PERIOD, self._on_diagnostics, clock=steady)
        self._answer_impossible_transitions()

    def start_up(self) -> None:
        """Configures and activates, or ends the process with code 2 when that cannot be done; the log says why."""
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise ExternalShutdownException if not self.context.ok() else SystemExit(2)

    def close(self) -> None:
        self._tear_down()
        self.destroy_node()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._set_up()
        except Exception as error:  # rclpy would swallow it
            if self.context.ok():
                expected = isinstance(error, (ValueError, OSError))
                self.get_logger().error(f"not configured: {error if expected else traceback.format_exc()}")
            self._tear_down()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        # First the publishers, which drop what is published before.
        activated = super().on_activate(state)
        self._thread.start()
        self._observe_if_wanted()
        if self._thread.lacks_instruction(self._settings):
            topic = self.resolve_topic_name("~/instruction")
            self.get_logger().info(f"waiting for an instruction on {topic} (or set the parameter instruction)")
        return activated

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._thread.stop()
        self._stop_observing()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._tear_down()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._tear_down()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.get_logger().error(f"a transition from {state.label} failed; everything is given back, configure again")
        self._tear_down()
        return TransitionCallbackReturn.SUCCESS

    # Setting up and tearing down

    def _set_up(self) -> None:
        # This thread, the executor's, never runs the networks, lest the forecast thread's PyTorch be slow.
        self._forecaster = on_passing_thread(self._load)
        self._outputs = Outputs(self, self._settings.views)
        self._thread = ForecastThread(
            self._forecaster,
            self._settings,
            self._statistics,
            self.get_logger(),
            deliver=self._deliver,
            anybody_listens=self._anybody_listens,
            clock=lambda: self.get_clock().now().nanoseconds,
            wake_executor=lambda: self.executor.wake(),
        )
        overridable = QoSOverridingOptions.with_default_policies()
        for view, transport in self._settings.transports().items():
            topic = f"{view}/image_raw"
            if transport != "raw":
                # The transport's name goes behind the topic that the user may have remapped.
                topic = f"{self.resolve_topic_name(topic)}/{transport}"
            message_type, qos = message_and_qos(transport)
            on_image = partial(self._on_image, view)
            if transport == "ffmpeg":
                on_image = partial(self._on_packet, view, VideoDecoder())
            self._own_subscriptions.append(
                self.create_subscription(message_type, topic, on_image, qos, qos_overriding_options=overridable)
            )
        # A group of its own: rclpy keeps a group's other callbacks back until a call that waits has its answer.
        calls = ReentrantCallbackGroup()
        self._own_services += [
            self.create_service(Predict, "~/predict", self._on_predict, callback_group=calls),
            self.create_service(SetBool, "~/enable", self._on_enable),
        ]
        parameters.set_read_only(self, True)

    def _load(self) -> Forecaster:
        wanted = self._settings
        started = time.monotonic()
        self.get_logger().info(f"loading checkpoint {wanted.checkpoint} on {wanted.device}")
        forecaster = Forecaster.from_pretrained(wanted.checkpoint, device=wanted.device, dtype=wanted.dtype)
        forecaster.warn = self.get_logger().warning
        _check_budget(wanted, forecaster)
        self._warm_up(forecaster)
        self.get_logger().info(f"{forecaster.model_id} is ready after {time.monotonic() - started:.1f} s")
        return forecaster

    def _warm_up(self, forecaster: Forecaster) -> None:
        """Makes the first forecasts, which are slow (allocation, kernel choice, compiling), before anybody waits for one."""
        wanted = self._settings
        steps = wanted.solver_steps or None
        counts = range(1, len(wanted.views) + 1)  # of cameras: all but one may fall silent
        forecasts = [len(wanted.views)]
        if wanted.compile:
            self.get_logger().info("compiling the networks")
            # Not as CUDA graphs: PyTorch keeps those to one thread (its issue 123177), and this one is gone afterwards.
            forecaster.compile()
            # A number of cameras is compiled for at its first forecast, and may be once more at its second.
            forecasts = [count for count in counts for _ in range(2)]
        height, width = forecaster.config.image_size
        gray = np.full((height, width, 3), 128, dtype=np.uint8)
        for count in forecasts:
            cameras = dict.fromkeys(wanted.views[:count], gray)
            forecaster.predict(cameras, "warm up", k=wanted.num_samples, steps=steps, seed=0)
        if wanted.latency_budget:
            for count in counts:
                forecaster.calibrate(count, wanted.num_samples, steps)

    def _tear_down(self) -> None:
        """Gives back whatever is there; the one way out of every state."""
        self._stop_observing()
        if self._thread is not None:
            self._thread.stop()
            self._statistics.keep(self._thread.standing())
            self._thread = None
        while self._own_subscriptions:
            self.destroy_subscription(self._own_subscriptions.pop())
        self._services_to_destroy += self._own_services
        self._own_services.clear()
        self._destroy_services()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._forecaster is not None:
            self._forecaster.release()
            self._forecaster = None
            gc.collect()
        parameters.set_read_only(self, False)

    def _destroy_services(self) -> None:
        """Does so once no call waits: rclpy sends an answer through its service when the executor comes to it again."""
        while self._services_to_destroy and not self._waiting_calls:
            self.destroy_service(self._services_to_destroy.pop())

    def _observe_if_wanted(self) -> None:
        wanted = self._settings.score and self._thread is not None and self._thread.running
        if wanted and self._observer is None:
            self._observer = Observer(
                publish=self._outputs.publish_score,
                report_error=lambda error: self.get_logger().error(f"a forecast was not scored:\n{error}"),
            )
        elif not wanted:
            self._stop_observing()

    def _stop_observing(self) -> None:
        if self._observer is not None:
            self._observer.close()
            self._statistics.keep_not_scored(self._observer.given_up)
            self._observer = None

    def _answer_impossible_transitions(self) -> None:
        """rclpy raises where it should answer that a transition cannot be made from here, which would end the node."""
        [service] = [service for service in self.services if service.srv_type is ChangeState]
        change_state = service.callback

        def answering(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change_state(request, response)
            except RCLError as error:
                if not self.context.ok():
                    raise
                wanted = request.transition.label or f"transition {request.transition.id}"
                self.get_logger().warning(f"{wanted} cannot be made in this state: {error}")
                response.success = False
                return response

        service.callback = answering

    # Callbacks, on the executor's thread

    def _on_packet(self, view: str, decoder: VideoDecoder, packet: Any) -> None:
        if not self._thread.running:
            return
        try:
            images = decoder.decode(packet)
        except ImageRefused as error:
            self._statistics.dropped("refused", 1)
            self.get_logger().error(f"images of camera {view} are refused: {error}", throttle_duration_sec=10.0)
            return
        for image in images:
            self._on_image(view, image)

    def _on_image(self, view: str, message: Image | CompressedImage | VideoImage) -> None:
        if not self._thread.running:
            return
        frame = Frame(view, message, nanoseconds(message.header), time.monotonic())
        self._thread.add_image(frame)
        if self._observer is not None:
            self._observer.add_image(frame)

    def _on_instruction(self, message: String) -> None:
        instruction = message.data.strip()
        if instruction == self._settings.instruction:
            return
        self.set_parameters([Parameter("instruction", value=instruction)])
        if not instruction:
            self.get_logger().info("the instruction was emptied; waiting for a new one")

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self.set_parameters([Parameter("enabled", value=request.data)])
        response.success = True
        response.message = "forecasting" if request.data else "paused"
        return response

    async def _on_predict(self, request: Predict.Request, response: Predict.Response) -> Predict.Response:
        if self._thread is None or not self._thread.running:
            response.message = "the node is not active"
            return response
        job = self._thread.request(request)
        if isinstance(job, str):
            response.message = job
            return response
        self._waiting_calls += 1
        try:
            return await job.answer
        finally:
            self._waiting_calls -= 1

    def _check(self, settings: ForecastParameters) -> None:
        parameters.check(settings)
        if self._forecaster is not None:
            _check_budget(settings, self._forecaster)

    def _apply(self, settings: ForecastParameters) -> None:
        before, self._settings = self._settings, settings
        if settings.instruction != before.instruction:
            self._say_instruction()
        if self._thread is not None:
            self._thread.update(settings)
        self._observe_if_wanted()

    def _say_instruction(self) -> None:
        if instruction := self._settings.instruction.strip():
            self.get_logger().info(f"instruction: {instruction}")

    def _on_housekeeping(self) -> None:
        self._destroy_services()
        now = time.monotonic()
        # When this thread itself was held up, images may be waiting for it, and their cameras are not silent: they are
        # judged the next time, when it has taken those images.
        held_up = now - self._last_housekeeping > 3 * HOUSEKEEPING_PERIOD
        self._skipped_judging = held_up and not self._skipped_judging
        self._last_housekeeping = now
        if self._thread is None or not self._thread.running:
            return
        changes, warnings = self._thread.look_around(judge_silence=not self._skipped_judging)
        for change in changes:
            # Two calls: rclpy ties a severity to the line that logs.
            if change.present:
                self.get_logger().info(change.text)
            else:
                self.get_logger().warning(change.text)
        for warning in warnings:
            self.get_logger().warning(warning)

    def _on_diagnostics(self) -> None:
        standing = Standing(waiting_for="configure") if self._thread is None else self._thread.standing()
        memory = None if self._forecaster is None else self._forecaster.device_memory()
        name = self.get_fully_qualified_name()
        given_up = {} if self._observer is None else dict(self._observer.given_up)
        status = self._statistics.status(time.monotonic(), name, standing, memory, given_up)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(message)

    # On the forecast thread

    def _anybody_listens(self) -> bool:
        try:
            return self._outputs.anybody_listens(self._settings.score)
        except RCLError:
            if self.context.ok():
                raise
            return False  # the process was told to end, and with it the publishers

    def _deliver(self, result: Result) -> Predict.Response:
        if not self.context.ok():
            return Predict.Response(success=False, message="the node is shutting down")
        response = self._outputs.publish(result)
        observer = self._observer
        if observer is not None:
            observer.add_forecast(result)
        now = time.monotonic()
        frames = [result.job.frames[view] for view in result.forecast.views]
        newest = max(frame.stamp for frame in frames)
        age = (self.get_clock().now().nanoseconds - newest) / 1e9 if newest else None
        latency = now - max(frame.arrived for frame in frames)
        # A call may forecast images a second time.
        images = 0 if result.job.answer is not None else len(frames)
        allowed = result.job.settings.latency_budget
        over_budget = bool(allowed) and result.job.answer is None and latency > allowed
        self._statistics.published(Published(now, images, latency, result.circumstances.compute_time, age, over_budget))
        return response


def _check_budget(settings: ForecastParameters, forecaster: Forecaster) -> None:
    if settings.latency_budget and forecaster.config.solver == "dopri5":
        raise ValueError(
            f"parameter latency_budget is {settings.latency_budget}, but the solver of {forecaster.model_id}, dopri5, "
            "chooses its own steps and keeps no budget; set it to 0"
        )


def started_node() -> ForecastNode:
    node = ForecastNode()
    if node.get_parameter("autostart").value:
        node.start_up()
    return node


COMMAND = Command("forecast_node", "Camera images and an instruction in, predicted tracks out.", ForecastParameters)


def main(arguments: list[str] | None = None) -> int:
    return run(started_node, arguments, close=ForecastNode.close, command=COMMAND)


if __name__ == "__main__":
    sys.exit(main())
