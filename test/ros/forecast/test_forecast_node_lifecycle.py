"""forecast_node as a lifecycle node: every transition, what each state does and does not do, and impossible ones."""

import json
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from lifecycle_msgs.msg import State, Transition
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from robot import NODE, Robot, settings
from std_msgs.msg import String
from tiny_checkpoint import FRAMES, GRID
from trajforecast_msgs.srv import Predict
from waiting import LIMIT_SECONDS

from trajforecast_model import Forecaster
from trajforecast_ros.forecast import thread
from trajforecast_ros.forecast.loading import check_history
from trajforecast_ros.forecast.parameters import ForecastParameters
from trajforecast_ros.forecast.thread import ForecastThread
from trajforecast_ros.messages import read_summary, read_tracks


def topics_of_the_node(listener) -> set[str]:
    node = listener.node
    listener.wait_for(lambda: "forecast_node" in node.get_node_names(), "the node in the graph")
    return {name for name, _ in node.get_publisher_names_and_types_by_node("forecast_node", "/")}


def test_networks_are_compiled_for_every_number_of_cameras_before_images_come(node_in_this_process, monkeypatch):
    compile_networks, predict, forecast = Forecaster.compile, Forecaster.predict, []

    def noting(self, images, *arguments, **options):
        forecast.append((len(images), self.is_compiled))
        return predict(self, images, *arguments, **options)

    monkeypatch.setattr(Forecaster, "compile", lambda self: compile_networks(self, backend="eager"))
    monkeypatch.setattr(Forecaster, "predict", noting)
    node = node_in_this_process(compile=True)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS

    assert set(forecast) == {(1, True), (2, True)}


def test_the_executors_thread_never_runs_the_networks(node_in_this_process, monkeypatch):
    """Two threads that have run PyTorch make it slow, so warming up must not be on one that stays."""
    predict, ran_on = Forecaster.predict, []

    def noting(*arguments, **options):
        ran_on.append(threading.current_thread())
        return predict(*arguments, **options)

    monkeypatch.setattr(Forecaster, "predict", noting)
    assert node_in_this_process().trigger_configure() == TransitionCallbackReturn.SUCCESS

    [warmed_up] = ran_on
    assert warmed_up is not threading.current_thread()
    assert not warmed_up.is_alive()


def test_through_all_states_and_back(start_node, listener, manager, tiny_checkpoint):
    node = start_node(NODE, settings(tiny_checkpoint, autostart=False, instruction="go"))
    robot = Robot(listener)
    assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert "/predicted_tracks" not in topics_of_the_node(listener)
    assert "is ready" not in node.output

    # Impossible from here: refused, and the node lives on.
    assert not manager.change(Transition.TRANSITION_ACTIVATE)
    assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED

    assert manager.change(Transition.TRANSITION_CONFIGURE)
    assert manager.state() == State.PRIMARY_STATE_INACTIVE
    assert "is ready" in node.output
    robot.wait_until_connected(node)
    answer = listener.call(robot.predict, Predict.Request(instruction="go"))
    assert not answer.success and "not active" in answer.message
    assert not robot.tracks

    for stamp in (1, 2):
        assert manager.change(Transition.TRANSITION_ACTIVATE)
        robot.forecast_of(stamp)
        assert manager.change(Transition.TRANSITION_DEACTIVATE)
        robot.tracks.clear()
        robot.see(stamp + 10)
        # The node has answered after the images were sent, and forecast nothing.
        answer = listener.call(robot.predict, Predict.Request())
        assert not answer.success and not robot.tracks

    assert manager.change(Transition.TRANSITION_CLEANUP)
    listener.wait_for(lambda: "/predicted_tracks" not in topics_of_the_node(listener), "the topics' end")
    assert manager.change(Transition.TRANSITION_CONFIGURE)
    assert manager.change(Transition.TRANSITION_ACTIVATE)
    robot.wait_until_connected(node)
    robot.forecast_of(stamp=3)

    assert manager.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert manager.state() == State.PRIMARY_STATE_FINALIZED
    assert node.stop() == 0
    assert "Traceback" not in node.output


def test_what_cannot_be_configured_says_why_and_can_be_mended(start_node, listener, manager, tiny_checkpoint):
    node = start_node(NODE, settings("/no/such/folder", autostart=False, instruction="go"))

    assert not manager.change(Transition.TRANSITION_CONFIGURE)
    assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert "not configured: checkpoint '/no/such/folder' does not exist" in node.output
    assert "Traceback" not in node.output

    assert manager.set(checkpoint=str(tiny_checkpoint))[0].successful
    assert manager.change(Transition.TRANSITION_CONFIGURE)


def test_what_needs_a_reload_is_read_only_while_a_model_is_loaded(start_node, listener, manager, tiny_checkpoint):
    start_node(NODE, settings(tiny_checkpoint, autostart=False))
    assert not manager.describe("checkpoint")[0].read_only

    assert manager.change(Transition.TRANSITION_CONFIGURE)
    checkpoint, device, num_samples = manager.describe("checkpoint", "device", "num_samples")
    assert checkpoint.read_only and device.read_only and not num_samples.read_only
    assert "unconfigured" in checkpoint.additional_constraints
    [result] = manager.set(checkpoint="elsewhere")
    assert not result.successful and "checkpoint" in result.reason

    assert manager.change(Transition.TRANSITION_CLEANUP)
    assert manager.set(checkpoint="elsewhere")[0].successful


def test_parameters_change_while_it_forecasts(start_node, listener, manager, tiny_checkpoint):
    node = start_node(NODE, settings(tiny_checkpoint, instruction="go"))
    robot = Robot(listener)
    robot.wait_until_connected(node)
    first, _ = robot.forecast_of(stamp=1)
    assert (first.num_samples, first.seed, first.instruction) == (2, 0, "go")

    changes = dict(num_samples=3, seed=7, solver_steps=2, instruction="stop", max_rate=500.0)
    assert all(result.successful for result in manager.set(**changes))
    second, _ = robot.forecast_of(stamp=2)
    assert (second.num_samples, second.seed, second.instruction) == (3, 7, "stop")
    assert not np.array_equal(read_tracks(first).tracks[0, :2, -1], read_tracks(second).tracks[0, :2, -1])

    assert all(r.successful for r in manager.set(output_stride=4, max_published_samples=1, image_fit="crop"))
    reduced, summary = robot.forecast_of(stamp=20)
    rows, columns = GRID
    assert read_tracks(reduced).tracks.shape == (2, 1, FRAMES, rows // 4, columns // 4, 2)
    assert read_summary(summary).mean_t.shape == (2, FRAMES, rows // 4, columns // 4, 2)
    assert manager.set(query_points="0.5,0.5 0.25,1")[0].successful
    chosen, _ = robot.forecast_of(stamp=21)
    assert read_tracks(chosen).tracks.shape == (2, 1, FRAMES, 1, 2, 2)

    for wrong in (
        dict(query_points="here"),
        dict(image_fit="zoom"),
        dict(num_samples=0),
        dict(num_samples=65),
        dict(seed=-2),
        dict(num_samples="many"),
    ):
        [result] = manager.set(**wrong)
        assert not result.successful and result.reason
    _, third = robot.forecast_of(stamp=3)
    assert third.num_samples == 3

    assert manager.set(enabled=False)[0].successful
    listener.wait_for(
        lambda: robot.diagnostics and robot.diagnostics[-1].status[0].message == "waiting for ~/enable", "the pause"
    )


def test_a_latency_budget_takes_from_steps_and_samples_what_there_is_no_time_for(
    start_node, listener, manager, tiny_checkpoint
):
    node = start_node(NODE, settings(tiny_checkpoint, instruction="go", solver_steps=5, latency_budget=0.0001))
    robot = Robot(listener)
    robot.wait_until_connected(node)
    hurried, summary = robot.forecast_of(stamp=1)
    assert (hurried.num_samples, hurried.num_solver_steps) == (1, 2), "the least, since nothing is that fast"
    assert (summary.num_samples, summary.num_solver_steps) == (1, 2)

    def counted_as_late() -> bool:
        values = {pair.key: pair.value for message in robot.diagnostics for pair in message.status[0].values}
        return int(values.get("forecasts over the latency budget", 0)) > 0

    listener.wait_for(counted_as_late, "diagnostics that count it as late")

    assert manager.set(latency_budget=60.0)[0].successful
    unhurried, _ = robot.forecast_of(stamp=2)
    assert (unhurried.num_samples, unhurried.num_solver_steps) == (2, 5)
    assert manager.set(latency_budget=0.0)[0].successful
    unlimited, _ = robot.forecast_of(stamp=3)
    assert (unlimited.num_samples, unlimited.num_solver_steps) == (2, 5)
    assert np.array_equal(read_tracks(unhurried).tracks, read_tracks(unlimited).tracks)
    assert not manager.set(latency_budget=-1.0)[0].successful


def test_a_storm_of_parameters_is_answered_while_it_samples(start_node, listener, manager, tiny_checkpoint):
    node = start_node(NODE, settings(tiny_checkpoint, instruction="go", solver_steps=50))
    robot = Robot(listener)
    robot.wait_until_connected(node)
    robot.forecast_of(stamp=1)
    for i in range(60):
        robot.see(stamp=10 + i)
        assert manager.set(num_samples=1 + i % 4, max_rate=float(i))[0].successful
    message, _ = robot.forecast_of(stamp=1000)
    assert message.num_samples == 4
    assert node.process.poll() is None


def test_nothing_is_computed_when_nobody_listens(start_node, listener, tiny_checkpoint):
    node = start_node(NODE, settings(tiny_checkpoint, instruction="go"))
    robot = Robot(listener)
    robot.wait_until_connected(node)
    robot.forecast_of(stamp=1)
    robot.stop_listening_to_forecasts()

    def reports() -> list[tuple[str, str]]:
        statuses = [message.status[0] for message in robot.diagnostics]
        return [(status.message, status.values[0].value) for status in statuses]

    def at_rest() -> bool:
        """Two reports in a row with images coming, and no forecast (the first value) between them."""
        robot.see(stamp=2)
        last = reports()[-2:]
        return len(last) == 2 and last[0] == last[1] and last[0][0] == "waiting for a subscriber"

    listener.wait_for(at_rest, "the node's rest")
    assert robot.diagnostics[-1].status[0].values[0].key == "forecasts"

    answer = listener.call(robot.predict, Predict.Request())
    assert answer.success, "a call is carried out all the same"


@pytest.mark.parametrize("ending", ["shutdown", "cleanup"])
def test_a_call_that_waits_is_answered_when_the_node_ends_its_work(node_in_this_process, listener, monkeypatch, ending):
    node = node_in_this_process(instruction="go")
    node.start_up()
    robot = Robot(listener)
    robot.forecast_of(stamp=1)
    asked = []
    request = ForecastThread.request
    monkeypatch.setattr(ForecastThread, "request", lambda *given: asked.append(given) or request(*given))
    listener.wait_for(robot.predict.service_is_ready, "the service")
    answer = robot.predict.call_async(Predict.Request())
    listener.wait_for(lambda: asked, "the call's arrival")

    # Nothing spins from here to the end of the transition, so the call's callback cannot have gone on.
    if ending == "shutdown":
        assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    else:
        assert node.trigger_deactivate() == node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    listener.wait_for(answer.done, "an answer")
    assert answer.result().message
    listener.wait_for(lambda: not robot.predict.service_is_ready(), "the service's end")


def test_a_call_that_waits_holds_nothing_else_up(node_in_this_process, listener, manager, monkeypatch):
    """Other services answer, further calls come in, and a transition is made, before the call has its forecast."""
    node = node_in_this_process(instruction="go")
    node.start_up()
    robot = Robot(listener)
    robot.forecast_of(stamp=1)
    monkeypatch.setattr(thread, "PATIENCE_SECONDS", LIMIT_SECONDS)
    asked, go_on = [], threading.Event()
    predict, stop = Forecaster.predict, ForecastThread.stop

    def held(*given, **options):
        asked.append(given)
        assert go_on.wait(LIMIT_SECONDS)
        return predict(*given, **options)

    monkeypatch.setattr(ForecastThread, "_job_of_newest_images", lambda thread: None)  # it is a call that is held up
    monkeypatch.setattr(Forecaster, "predict", held)
    monkeypatch.setattr(ForecastThread, "stop", lambda stopped: go_on.set() or stop(stopped))
    listener.wait_for(robot.predict.service_is_ready, "the service")
    answers = [robot.predict.call_async(Predict.Request()) for _ in range(2)]
    listener.wait_for(lambda: asked and node._waiting_calls == 2, "both calls' arrival")

    assert manager.state() == State.PRIMARY_STATE_ACTIVE
    assert manager.set(max_rate=100.0)[0].successful
    assert not any(answer.done() for answer in answers)
    assert manager.change(Transition.TRANSITION_DEACTIVATE)
    listener.wait_for(lambda: all(answer.done() for answer in answers), "the answers")
    assert sorted(answer.result().success for answer in answers) == [False, True]


def test_an_old_latched_instruction_does_not_come_back_when_the_node_is_configured_again(
    node_in_this_process, listener
):
    node = node_in_this_process(autostart=False)
    robot = Robot(listener)
    robot.instruct.publish(String(data="old, by topic"))
    listener.wait_for(lambda: node.get_parameter("instruction").value == "old, by topic", "the instruction")
    node.set_parameters([Parameter("instruction", value="new, by parameter")])
    for _ in range(2):
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        listener.wait_for(robot.predict.service_is_ready, "the service")
        answer = listener.call(robot.predict, Predict.Request())  # whatever was latched has come before this
        assert answer.message == "the node is not active"
        assert node.get_parameter("instruction").value == "new, by parameter"
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        listener.wait_for(lambda: not robot.predict.service_is_ready(), "the service's end")


def test_what_cannot_be_configured_leaves_no_publisher_behind(node_in_this_process, monkeypatch):
    node = node_in_this_process()
    publishers = len(list(node.publishers))
    monkeypatch.setattr("trajforecast_ros.forecast.outputs.foxglove.is_available", lambda: 1 / 0)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert len(list(node.publishers)) == publishers


def test_a_start_that_cannot_activate_ends_with_code_2(node_in_this_process, listener, monkeypatch):
    node = node_in_this_process()

    def fails(thread: ForecastThread) -> None:
        raise RuntimeError("no threads left")

    monkeypatch.setattr(ForecastThread, "start", fails)
    node.start_up()
    with pytest.raises(SystemExit) as ended:
        listener.wait_for(lambda: False, "the end")
    assert ended.value.code == 2


def test_a_latency_budget_is_refused_where_the_solver_keeps_none(
    node_in_this_process, tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(Forecaster, "predict", lambda *images, **options: None)  # dopri5's warm-up takes its time
    folder = shutil.copytree(tiny_checkpoint, tmp_path / "dopri5")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"solver": "dopri5"}))
    node = node_in_this_process(checkpoint=folder, latency_budget=0.5)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE

    def set_budget(seconds: float):
        [result] = node.set_parameters([Parameter("latency_budget", value=seconds)])
        return result

    assert set_budget(0.0).successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    refused = set_budget(0.5)
    assert not refused.successful and "dopri5" in refused.reason


def test_more_of_the_past_than_the_checkpoint_takes_is_refused(node_in_this_process):
    node = node_in_this_process(history_frames=3)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    [result] = node.set_parameters([Parameter("history_frames", value=0)])
    assert result.successful
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize(
    ("takes", "advice"), [(0, "takes no past; set it to -1 or 0"), (2, "takes 2 at most; set it to one of -1 to 2")]
)
def test_a_refused_past_is_told_with_what_can_be_had(takes, advice):
    forecaster = SimpleNamespace(history_frames=takes, model_id="some_model", needs_history=False)
    for fine in range(-1, takes + 1):
        check_history(ForecastParameters(history_frames=fine), forecaster)
    with pytest.raises(ValueError, match=f"history_frames is 3, but the checkpoint some_model {advice}"):
        check_history(ForecastParameters(history_frames=3), forecaster)


def test_less_of_the_past_than_the_checkpoint_needs_is_refused():
    forecaster = SimpleNamespace(history_frames=8, model_id="some_model", needs_history=True)
    for fine in (-1, 8):
        check_history(ForecastParameters(history_frames=fine), forecaster)
    for other in (0, 7, 9):
        with pytest.raises(
            ValueError, match=f"history_frames is {other}, but the checkpoint some_model .* needs all 8"
        ):
            check_history(ForecastParameters(history_frames=other), forecaster)
