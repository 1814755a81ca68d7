"""A node whose checkpoint is TrajLoom's: it waits for its past, says how much is there, and forecasts from it."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from robot import NODE, Robot, settings
from std_msgs.msg import Header
from test_forecasting import Caller
from tiny_trajloom_networks import write_trajloom
from waiting import LIMIT_SECONDS

from trajforecast_model import Forecaster
from trajforecast_ros.forecast.history import following
from trajforecast_ros.forecast.observing import Observer
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.images import to_message
from trajforecast_ros.messages import nanoseconds, read_summary, read_tracks
from trajforecast_ros.viewing.markers import track_marker

PAST, DT = 8, 0.05  # frames before the present one, and seconds between them
SIZE = (48, 80)  # height, width: the checkpoint's, and the cameras'
VIEWS = ("side", "effector")
WIDE = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (8, 80, 3), dtype=np.uint8), (480, 48), interpolation=cv2.INTER_CUBIC
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Its points are where the grid is in the first frame of the past, as the official ones' are."""
    return write_trajloom(tmp_path_factory.mktemp("trajloom"), dt=DT, size=SIZE)


def shown(index: int) -> np.ndarray:
    """A picture that moves one pixel to the right from image to image."""
    return np.ascontiguousarray(WIDE[:, 400 - index : 480 - index])


def header(index: int) -> Header:
    return Header(stamp=Time(sec=10 + index // 20, nanosec=index % 20 * 50_000_000))


def test_the_node_waits_for_the_past_says_how_much_is_there_and_forecasts_from_it(listener, start_node, checkpoint):
    node = start_node(NODE, settings(str(checkpoint), max_pair_skew=0.01, latency_budget=60.0))
    robot = Robot(listener)
    robot.wait_until_connected(node)

    def show(index: int) -> None:
        for view in VIEWS:
            robot.cameras[view].publish(to_message(shown(index), header(index)))

    def said() -> list[str]:
        return [status.message for message in robot.diagnostics for status in message.status]

    for held in (0, 1):
        wanted = (
            f"waiting for the past: side has {held} of 8 frames of its past, 0.05 s apart, effector has {held} of 8"
        )

        def is_said(wanted=wanted, held=held) -> bool:
            show(held)  # sensor data may get lost; the same image again adds nothing
            return any(message.startswith(wanted) for message in said())

        listener.wait_for(is_said, wanted)
    assert not robot.tracks and "forecasts from the past alone" in node.output

    index = 1

    def has_come() -> bool:
        nonlocal index
        if not (robot.tracks and robot.summaries):
            index = min(index + 1, 300)
            show(index)
        return bool(robot.tracks and robot.summaries)

    listener.wait_for(has_come, "a forecast")
    message = robot.tracks[0]
    tracks, summary = read_tracks(message), read_summary(robot.summaries[0])
    assert tracks.views == VIEWS and tracks.tracks.shape == (2, 2, PAST + 2, 3, 5, 2) and tracks.dt == DT
    assert tracks.history_frames == summary.history_frames == PAST
    assert tracks.visibility.shape == tracks.tracks.shape[:-1]
    assert (tracks.visibility >= 0).all() and (tracks.visibility <= 1).all() and tracks.visibility.std() > 0

    now = round((tracks.stamp - 10) / DT)
    before = np.stack([shown(step) for step in range(now - PAST, now)])
    forecaster = Forecaster.from_pretrained(checkpoint)
    same = forecaster.predict(
        dict.fromkeys(VIEWS, shown(now)), k=2, seed=message.seed, history=dict.fromkeys(VIEWS, before)
    )
    assert np.median(np.abs(tracks.tracks - same.tracks)) < 0.1, "as the same past is forecast without a node"
    moved = tracks.tracks[0, 0, 0] - forecaster.query_points(SIZE)
    np.testing.assert_allclose(moved[1, 1:4], np.broadcast_to([PAST, 0], (3, 2)), atol=0.7)


class TrajloomCaller(Caller):
    """Of pictures that move, at 20 Hz."""

    def see(self, stamp: int, unreadable: str = "") -> None:
        """Nothing: the tests show what they want seen."""

    def show(self, *views: str, until: int, start: int = 0, size: tuple[int, int] = SIZE) -> None:
        for index in range(start, until):
            picture = cv2.resize(shown(index), size[::-1])
            for view in views:
                message = to_message(picture, header(index))
                self.thread.add_image(Frame(view, message, nanoseconds(message.header), time.monotonic()))


@pytest.fixture
def caller(checkpoint):
    callers = []

    def make(**settings) -> TrajloomCaller:
        forecaster = Forecaster.from_pretrained(checkpoint)
        forecaster.warn = lambda line: None
        callers.append(TrajloomCaller(forecaster, history_budget_ms=0.0, **settings))
        return callers[-1]

    yield make
    for caller in callers:
        caller.thread.stop()


def test_a_call_is_told_how_much_of_the_past_there_is(caller):
    calls = caller()
    calls.show(*VIEWS, until=PAST)
    answer = calls.call()
    assert not answer.success
    assert answer.message == (
        "the forecast waits for the past: side has 7 of 8 frames of its past, 0.05 s apart, effector has 7 of 8 frames of "
        "its past, 0.05 s apart"
    )
    calls.show(*VIEWS, start=PAST, until=PAST + 1)
    assert calls.call().success and calls.results[-1].circumstances.history_frames == PAST
    assert not calls.log.errors


def test_a_camera_whose_past_is_not_there_yet_is_left_out_and_named(caller):
    calls = caller()
    calls.listened = True
    calls.show("side", until=5)
    calls.show("side", "effector", start=5, until=PAST + 2)
    assert calls.call().success
    assert calls.results[-1].forecast.views == ("side",)
    standing = calls.thread.standing()
    assert standing.waiting_for is None and standing.left_out["side"] == ""
    assert standing.left_out["effector"] == "4 of 8 frames of its past, 0.05 s apart"
    calls.show("side", "effector", start=PAST + 2, until=PAST + 6)
    assert calls.call().success and calls.results[-1].forecast.views == VIEWS


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_tracks_are_in_pixels_of_the_cameras_own_pictures(caller, fit):
    calls = caller(image_fit=fit)
    size = (96, 200)
    calls.show(*VIEWS, until=PAST + 1, size=size)
    assert calls.call().success
    tracks = calls.results[-1].forecast.tracks
    across = 200 if fit == "stretch" else 160
    corner = np.array([(200 - across) / 2, 0])
    moved = (tracks[0, 0, 0] - calls.forecaster.query_points((96, across)) - corner)[1, 1:4]
    np.testing.assert_allclose(moved, np.broadcast_to([PAST * 200 / 80, 0], (3, 2)), atol=1.5)


def test_no_instruction_is_waited_for(caller):
    calls = caller()
    assert not calls.thread.lacks_instruction(calls._settings)
    calls.show(*VIEWS, until=PAST + 1)
    assert calls.call().success


def test_a_past_that_is_not_ready_in_time_is_waited_for(caller, monkeypatch):
    calls = caller()
    calls.show(*VIEWS, until=PAST + 1)
    assert calls.call().success
    go_on, to_rgb = threading.Event(), following.to_rgb
    monkeypatch.setattr(following, "to_rgb", lambda message: go_on.wait(LIMIT_SECONDS) and to_rgb(message))
    calls.thread._following.budget = 1.0
    calls.show(*VIEWS, start=PAST + 1, until=PAST + 2)
    answer = calls.call()
    go_on.set()
    assert not answer.success and "side has its past not ready in time" in answer.message
    calls.thread._following.budget = 0.0
    assert calls.call().success


def test_where_all_cameras_have_fallen_silent_it_is_images_that_are_waited_for(caller):
    calls = caller()
    calls.listened = True
    calls.show(*VIEWS, until=3)
    assert calls.thread.standing().waiting_for.startswith("the past: side has")
    calls.thread.update(replace(calls._settings, camera_timeout=0.05))
    deadline = time.monotonic() + LIMIT_SECONDS

    def waiting_for() -> str:
        calls.thread.look_around(judge_silence=True)
        return calls.thread.standing().waiting_for or ""

    while "the past" in waiting_for():
        assert time.monotonic() < deadline
    assert waiting_for().startswith("images")


def test_a_forecast_is_scored_and_drawn(caller):
    scores = []
    observer = Observer(scores.append, lambda error: pytest.fail(error))
    calls = caller()
    calls.show(*VIEWS, until=PAST + 1)
    assert calls.call().success
    [result] = calls.results
    for view in VIEWS:
        observer.add_image(result.job.frames[view])
    observer.add_forecast(result)
    for index in range(PAST + 1, 2 * PAST + 3):
        for view in VIEWS:
            message = to_message(shown(index), header(index))
            observer.add_image(Frame(view, message, nanoseconds(message.header), time.monotonic()))
        while observer.busy:
            pass
    observer.close()
    assert not observer.given_up and len(scores) == 1 and scores[0].num_steps == PAST + 2
    samples = result.forecast.tracks[0]
    assert track_marker(samples, result.forecast.mean_track[0], result.circumstances.sources[0], lifetime=1.0).points
