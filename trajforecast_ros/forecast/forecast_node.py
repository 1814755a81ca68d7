"""The forecast node: camera images and an instruction in, predicted tracks out. A lifecycle node.

unconfigured  parameters, all of them changeable, and ~/instruction, which sets one; diagnostics
configure     loads the checkpoint and warms it up, on a thread, while the executor answers; then makes the other topics
              and services
active        forecasts
cleanup       gives all of that back

By default it configures and activates itself (parameter autostart). Whatever it does, it lets go of within 5 s: of
loading, which is then given up, and of a forecast, which is cut short.
"""

import gc
import time
import traceback
from functools import partial
from typing import Any, NoReturn

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition, TransitionDescription
from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions
from rclpy._rclpy_pybind11 import RCLError
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajforecast_msgs.srv import Predict

from trajforecast_model.forecaster import Forecaster
from trajforecast_model.image_messages.video import VideoDecoder, VideoImage
from trajforecast_model.runtime.threads import end_process
from trajforecast_ros import PROCESS_BEGAN
from trajforecast_ros.every_publisher import EveryPublisher
from trajforecast_ros.forecast import parameters
from trajforecast_ros.forecast.bond import ManagersBond
from trajforecast_ros.forecast.loading import GivenUp, Loading, check_budget
from trajforecast_ros.forecast.observing import Observer
from trajforecast_ros.forecast.outputs import Outputs
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.forecast.parameters import ForecastParameters
from trajforecast_ros.forecast.statistics import Published, Standing, Statistics
from trajforecast_ros.forecast.thread import ForecastThread, Result
from trajforecast_ros.forecast.transports import message_and_qos
from trajforecast_ros.images import ImageRefused
from trajforecast_ros.messages import nanoseconds
from trajforecast_ros.running import run
from trajforecast_ros.starting.arguments import Command

HOUSEKEEPING_PERIOD = 0.1  # seconds
DIAGNOSTICS_PERIOD = 1.0
# What can be asked for while the node is being configured, which it then gives up: by id, as label and goal.
WAYS_OUT = {
    Transition.TRANSITION_CLEANUP: ("cleanup", State(id=State.PRIMARY_STATE_UNCONFIGURED, label="unconfigured")),
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: (
        "shutdown",
        State(id=State.PRIMARY_STATE_FINALIZED, label="finalized"),
    ),
}
SHUTDOWNS = (
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    Transition.TRANSITION_INACTIVE_SHUTDOWN,
    Transition.TRANSITION_ACTIVE_SHUTDOWN,
)


class ForecastNode(LifecycleNode):
    """Raises ValueError when a parameter is no good."""

    def __init__(self, **node_options):
        super().__init__("forecast_node", **node_options)
        self._settings = parameters.declare(self)
        self._say_instruction()
        parameters.follow_changes(self, lambda: self._settings, self._check, self._apply)
        self._statistics = Statistics(time.monotonic())
        self._loading: Loading | None = None  # while the node is being configured
        self._configured = Future()  # set at the end of that
        self._forecaster: Forecaster | None = None
        self._thread: ForecastThread | None = None
        self._outputs: Outputs | None = None
        self._observer: Observer | None = None
        self._bond: ManagersBond | None = None
        self._own_subscriptions: list[Subscription] = []  # from configure to cleanup, as are the services
        self._own_services: list[Service] = []
        self._services_to_destroy: list[Service] = []  # when the calls that wait have their answers
        self._waiting_calls = 0
        self._last_housekeeping = time.monotonic()
        self._skipped_judging = False

        self._said_instruction = EveryPublisher(self, String, "~/instruction", self._on_instruction)
        if self._settings.instruction.strip():
            self._said_instruction.overrule(PROCESS_BEGAN)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A clock of its own: simulated time may stand still, and a camera that is missing then is missing too.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(HOUSEKEEPING_PERIOD, self._on_housekeeping, clock=steady)
        self.create_timer(DIAGNOSTICS_PERIOD, self._on_diagnostics, clock=steady)
        self._answer_while_configuring()

    def start_up(self) -> None:
        """Has the executor configure and activate the node, or end the process with code 2; the log says why."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        # A group of its own, as for ~/predict: this callback waits too.
        self._start = self.create_timer(0.0, self._on_start, ReentrantCallbackGroup(), clock=steady)

    def close(self) -> None:
        self._tear_down()
        self.destroy_node()
        # It holds the node's handle too, and with it the shared memory of DDS.
        self._state_machine.destroy_when_not_in_use()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Waits until the checkpoint is loaded; `_configure` does not."""
        self._begin_loading()
        self._loading.wait()
        return self._set_up()

    async def _configure(self) -> TransitionCallbackReturn | None:
        """What trigger_configure does, while the executor goes on: the state is "configuring". None when it was given up."""
        self._state_machine.trigger_transition_by_id(Transition.TRANSITION_CONFIGURE, True)
        self._begin_loading()
        loading, self._configured = self._loading, Future()
        await loading.ended
        return self._end_configuring() if loading is self._loading else None

    def _give_up_configuring(self) -> None:
        self._loading.give_up()
        self._end_configuring()

    def _end_configuring(self) -> TransitionCallbackReturn:
        result = self._set_up()
        self._state_machine.trigger_transition_by_label(result.to_label(), True)
        self._configured.set_result(result)
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        # First the publishers, which drop what is published before.
        activated = super().on_activate(state)
        self._thread.start()
        self._observe_if_wanted()
        self._bond = ManagersBond(self, self._settings.bond_heartbeat_period)
        if self._forecaster.needs_history:
            frames, dt = self._forecaster.history_frames, self._forecaster.config.dt
            self.get_logger().info(
                f"{self._forecaster.model_id} forecasts from the past alone: a camera is forecast once it has shown {frames} "
                f"steps of {dt:g} s"
            )
        if self._thread.lacks_instruction(self._settings):
            topic = self.resolve_topic_name("~/instruction")
            self.get_logger().info(f"waiting for an instruction on {topic} (or set the parameter instruction)")
        return activated

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._thread.stop()
        self._stop_observing()
        self._break_bond()
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

    def _begin_loading(self) -> None:
        # On a thread that is gone afterwards. The executor's never runs the networks, lest the forecast thread be slow.
        self._loading = Loading(self._settings, self.get_logger(), self._wake_executor)
        parameters.set_read_only(self, True)

    def _set_up(self) -> TransitionCallbackReturn:
        """Takes what was loaded and makes topics and services; FAILURE, with everything given back, where it cannot."""
        loading, self._loading = self._loading, None
        try:
            forecaster = loading.forecaster()
            check_budget(self._settings, forecaster)  # it may have changed meanwhile
            self._forecaster = forecaster
            self._make_interfaces()
        except GivenUp as error:
            self.get_logger().info(f"not configured: {error}")
        except Exception as error:  # rclpy would swallow it
            if self.context.ok():
                expected = isinstance(error, (ValueError, OSError))
                self.get_logger().error(f"not configured: {error if expected else traceback.format_exc()}")
        else:
            return TransitionCallbackReturn.SUCCESS
        self._tear_down()
        return TransitionCallbackReturn.FAILURE

    def _make_interfaces(self) -> None:
        self._outputs = Outputs(self, self._settings.views)
        self._thread = ForecastThread(
            self._forecaster,
            self._settings,
            self._statistics,
            self.get_logger(),
            deliver=self._deliver,
            anybody_listens=self._anybody_listens,
            clock=lambda: self.get_clock().now().nanoseconds,
            wake_executor=self._wake_executor,
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

    def _tear_down(self) -> None:
        """Gives back whatever is there; the one way out of every state."""
        if self._loading is not None:
            self._loading.give_up()
            self._loading = None
        self._stop_observing()
        self._break_bond()
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

    def _break_bond(self) -> None:
        if self._bond is not None:
            self._bond.close()
            self._bond = None

    def _answer_while_configuring(self) -> None:
        """Puts two of our callbacks in the place of rclpy's, which keep the executor until a transition is made."""
        services = {service.srv_name.rpartition("/")[2]: service for service in self.services}
        change, available = services["change_state"], services["get_available_transitions"]
        self._rclpys_change_state, self._rclpys_get_available_transitions = change.callback, available.callback
        change.callback, available.callback = self._on_change_state, self._on_get_available_transitions
        # A group of its own, as for ~/predict: it waits, too.
        change.callback_group = ReentrantCallbackGroup()
        change.callback_group.add_entity(change)

    # Callbacks, on the executor's thread

    async def _on_start(self) -> None:
        self._start.cancel()
        configured = await self._configure()
        if configured is None:
            return  # somebody wants the node otherwise
        if (
            configured != TransitionCallbackReturn.SUCCESS
            or self.trigger_activate() != TransitionCallbackReturn.SUCCESS
        ):
            raise ExternalShutdownException if not self.context.ok() else SystemExit(2)

    async def _on_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        wanted = request.transition
        try:
            if self._loading is not None and _is_meant(wanted, "activate", Transition.TRANSITION_ACTIVATE):
                await self._configured
            if self._loading is not None:
                response.success = self._leave_configuring(wanted)
            elif _is_meant(wanted, "configure", Transition.TRANSITION_CONFIGURE):
                response.success = await self._configure() == TransitionCallbackReturn.SUCCESS
            else:
                response = self._rclpys_change_state(request, response)
        except RCLError as error:
            # rclpy raises where it should answer that a transition cannot be made from here, which would end the node.
            if not self.context.ok():
                raise
            label = wanted.label or f"transition {wanted.id}"
            self.get_logger().warning(f"{label} cannot be made in this state: {error}")
            response.success = False
        return response

    def _leave_configuring(self, wanted: Transition) -> bool:
        shutdown = _is_meant(wanted, "shutdown", *SHUTDOWNS)
        if not shutdown and not _is_meant(wanted, "cleanup", Transition.TRANSITION_CLEANUP):
            raise RCLError(f"the node is {self._loading.doing}; wait for that, or ask for cleanup or shutdown")
        self._give_up_configuring()
        return not shutdown or self.trigger_shutdown() == TransitionCallbackReturn.SUCCESS

    def _on_get_available_transitions(
        self, request: GetAvailableTransitions.Request, response: GetAvailableTransitions.Response
    ) -> GetAvailableTransitions.Response:
        """As rclpy does; but of those from "configuring" it names its own inner ones, which nobody may ask for."""
        if self._loading is None:
            return self._rclpys_get_available_transitions(request, response)
        configuring = State(id=State.TRANSITION_STATE_CONFIGURING, label="configuring")
        response.available_transitions = [
            TransitionDescription(
                transition=Transition(id=transition, label=label), start_state=configuring, goal_state=goal
            )
            for transition, (label, goal) in WAYS_OUT.items()
        ]
        return response

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
            check_budget(settings, self._forecaster)

    def _apply(self, settings: ForecastParameters) -> None:
        before, self._settings = self._settings, settings
        if settings.instruction != before.instruction:
            self._said_instruction.overrule(time.time_ns())
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
        standing = self._standing()
        memory = None if self._forecaster is None else self._forecaster.device_memory()
        name = self.get_fully_qualified_name()
        given_up = {} if self._observer is None else dict(self._observer.given_up)
        status = self._statistics.status(time.monotonic(), name, standing, memory, given_up)
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(message)

    def _standing(self) -> Standing:
        if self._loading is not None:
            return Standing(waiting_for=None, doing=self._loading.doing)
        return Standing(waiting_for="configure") if self._thread is None else self._thread.standing()

    # On the threads that load and forecast

    def _wake_executor(self) -> None:
        if self.executor is not None:
            self.executor.wake()

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
        try:
            response = self._outputs.publish(result)
        except RCLError:
            if self.context.ok():
                raise
            return Predict.Response(success=False, message="the node is shutting down")
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


def _is_meant(wanted: Transition, label: str, *ids: int) -> bool:
    return wanted.label == label if wanted.label else wanted.id in ids


def started_node() -> ForecastNode:
    node = ForecastNode()
    if node.get_parameter("autostart").value:
        node.start_up()
    return node


COMMAND = Command("forecast_node", "Camera images and an instruction in, predicted tracks out.", ForecastParameters)


def main(arguments: list[str] | None = None) -> NoReturn:
    try:
        code = run(started_node, arguments, close=ForecastNode.close, command=COMMAND)
    except SystemExit as ended:
        code = ended.code
    end_process(code)


if __name__ == "__main__":
    main()
