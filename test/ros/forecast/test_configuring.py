"""forecast_node while it loads: it answers, says what it is at, and lets go of it."""

import threading

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import GetAvailableTransitions
from robot import Robot
from waiting import LIMIT_SECONDS

from trajforecast_model import Forecaster

LOADING = "loading checkpoint {} on cpu"


class HeldLoading:
    """Reading weights that takes until `go_on` is set, or fails then."""

    def __init__(self, monkeypatch):
        self.begun, self.go_on, self.error = threading.Event(), threading.Event(), None
        load = Forecaster.from_pretrained

        def held(*given, **options):
            self.begun.set()
            assert self.go_on.wait(LIMIT_SECONDS)
            if self.error is not None:
                raise self.error
            return load(*given, **options)

        monkeypatch.setattr(Forecaster, "from_pretrained", held)


@pytest.fixture
def loading(monkeypatch):
    held = HeldLoading(monkeypatch)
    yield held
    held.go_on.set()


@pytest.fixture
def robot(listener):
    return Robot(listener)


def test_everything_answers_while_it_loads(node_in_this_process, listener, manager, robot, loading, tiny_checkpoint):
    node_in_this_process(autostart=False)
    configured = manager.begin(Transition.TRANSITION_CONFIGURE)
    listener.wait_for(loading.begun.is_set, "loading")

    assert manager.state() == State.TRANSITION_STATE_CONFIGURING
    doing = LOADING.format(tiny_checkpoint)
    listener.wait_for(lambda: robot.diagnostics and robot.diagnostics[-1].status[0].message == doing, "diagnostics")
    assert manager.set(num_samples=3, instruction="go")[0].successful
    [result] = manager.set(checkpoint="elsewhere")
    assert not result.successful, "what is loaded now is what the parameter says"
    assert not manager.change(Transition.TRANSITION_CONFIGURE), "once is enough"
    assert not manager.change(Transition.TRANSITION_DEACTIVATE)
    assert not manager.change(Transition.TRANSITION_ON_CONFIGURE_SUCCESS), "nobody but the node says so"
    activated = manager.begin(Transition.TRANSITION_ACTIVATE)
    assert manager.state() == State.TRANSITION_STATE_CONFIGURING

    loading.go_on.set()
    assert configured().success and activated().success
    message, _ = robot.forecast_of(stamp=1)
    assert message.num_samples == 3


@pytest.mark.parametrize("way_out", ["cleanup", "shutdown"])
def test_loading_is_given_up_when_somebody_wants_the_node_otherwise(
    node_in_this_process, listener, manager, loading, way_out
):
    node_in_this_process(autostart=False)
    configured = manager.begin(Transition.TRANSITION_CONFIGURE)
    listener.wait_for(loading.begun.is_set, "loading")
    available = listener.node.create_client(GetAvailableTransitions, "/forecast_node/get_available_transitions")
    offered = listener.call(available, GetAvailableTransitions.Request()).available_transitions
    ids = {description.transition.label: description.transition.id for description in offered}
    assert set(ids) == {"cleanup", "shutdown"}, "ros2 lifecycle takes only what stands here"

    # The loading goes on: nothing lets it end before the test does.
    assert manager.change(ids[way_out])
    assert not configured().success
    if way_out == "shutdown":
        assert manager.state() == State.PRIMARY_STATE_FINALIZED
        return
    assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
    assert manager.set(device="cpu")[0].successful, "not read-only any more"
    loading.go_on.set()
    assert manager.change(Transition.TRANSITION_CONFIGURE)


def test_loading_that_fails_ends_configuring(node_in_this_process, listener, manager, loading):
    node_in_this_process(autostart=False)
    loading.error = OSError("the disk is gone")
    configured, activated = (
        manager.begin(transition) for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    )
    listener.wait_for(loading.begun.is_set, "loading")
    loading.go_on.set()
    assert not configured().success and not activated().success
    assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED
    loading.error = None
    assert manager.change(Transition.TRANSITION_CONFIGURE)


def test_the_autostart_answers_while_it_loads_and_gives_way(node_in_this_process, listener, manager, loading):
    node = node_in_this_process()
    node.start_up()
    listener.wait_for(loading.begun.is_set, "loading")
    assert manager.state() == State.TRANSITION_STATE_CONFIGURING
    assert manager.change(Transition.TRANSITION_CLEANUP)
    assert manager.state() == State.PRIMARY_STATE_UNCONFIGURED, "and the process goes on"
    loading.go_on.set()
    assert manager.change(Transition.TRANSITION_CONFIGURE) and manager.change(Transition.TRANSITION_ACTIVATE)


def test_the_warm_up_ends_between_two_solver_steps(node_in_this_process, listener, manager, monkeypatch):
    steps, sampled = [], Forecaster.sample_latents
    go_on = threading.Event()

    def with_held_first_step(forecaster, *given):
        check = forecaster.before_step

        def step():
            steps.append(threading.current_thread())
            assert go_on.wait(LIMIT_SECONDS)
            check()

        forecaster.before_step = step
        return sampled(forecaster, *given)

    monkeypatch.setattr(Forecaster, "sample_latents", with_held_first_step)
    node_in_this_process(autostart=False, solver_steps=1000)
    configured = manager.begin(Transition.TRANSITION_CONFIGURE)
    listener.wait_for(lambda: steps, "the first step")
    assert manager.change(Transition.TRANSITION_CLEANUP)
    go_on.set()
    steps[0].join(LIMIT_SECONDS)
    assert not steps[0].is_alive() and len(steps) == 1
    assert not configured().success
