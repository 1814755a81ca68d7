"""The thread that forecasts, without a node around it."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.task import Future
from robot import header, picture
from std_msgs.msg import Header
from tiny_model import randomise, tiny_config
from tiny_model import write_tiny_checkpoint as write_checkpoint_with_text
from trajforecast_msgs.srv import Predict
from waiting import LIMIT_SECONDS

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import save_config, save_weights
from trajforecast_model.networks.visibility_head import VisibilityHead, VisibilityHeadConfig
from trajforecast_model.tracks.grid import query_points, rescale
from trajforecast_ros.forecast import thread
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.forecast.parameters import ForecastParameters
from trajforecast_ros.forecast.statistics import Standing, Statistics
from trajforecast_ros.forecast.thread import ForecastThread, Job, Result
from trajforecast_ros.images import to_message
from trajforecast_ros.messages import nanoseconds, read_summary, read_tracks, summary_message, tracks_message


class Log:
    def __init__(self):
        self.errors = []

    def error(self, text: str) -> None:
        self.errors.append(text)

    warning = error


class Caller:
    """A forecast thread that only calls of ~/predict keep busy, unless somebody listens, and images that are there."""

    def __init__(self, forecaster: Forecaster, **settings):
        self.log, self.now, self.listened = Log(), 0, False
        self.results: list[Result] = []
        self.forecaster = forecaster
        self.statistics = Statistics(time.monotonic())
        self._settings = ForecastParameters(num_samples=1, instruction="go", camera_timeout=600.0, **settings)
        self.thread = ForecastThread(
            forecaster,
            self._settings,
            self.statistics,
            self.log,
            deliver=self._deliver,
            anybody_listens=lambda: self.listened,
            clock=lambda: self.now,
            wake_executor=lambda: None,
        )
        self.thread.start()
        self.see(stamp=5)

    def _deliver(self, result: Result) -> Predict.Response:
        self.results.append(result)
        return Predict.Response(success=True)

    def see(self, stamp: int, unreadable: str = "") -> None:
        for view in self._settings.views:
            message = to_message(picture(view), header(view, stamp))
            if view == unreadable:
                message.encoding = "no such encoding"
            self.thread.add_image(Frame(view, message, nanoseconds(message.header), time.monotonic()))

    def call(self, instruction: str = "") -> str | Predict.Response:
        job = self.begin(instruction=instruction)
        return job if isinstance(job, str) else _result(job.answer)

    def begin(self, **request) -> str | Job:
        return self.thread.request(Predict.Request(**request))


def _result(answer: Future) -> Predict.Response:
    there = threading.Event()
    answer.add_done_callback(lambda _: there.set())
    assert there.wait(LIMIT_SECONDS)
    return answer.result()


@pytest.fixture
def caller(tiny_checkpoint):
    callers = []

    def make(checkpoint=tiny_checkpoint, **settings) -> Caller:
        callers.append(Caller(Forecaster.from_pretrained(checkpoint), **settings))
        return callers[-1]

    yield make
    for caller in callers:
        caller.thread.stop()


def test_each_reason_of_failed_forecasts_is_said_once_until_one_succeeds(caller, monkeypatch):
    calls = caller()
    predict = Forecaster.predict

    def fails_as_told(forecaster, images, instruction, **options):
        if instruction.startswith("fail"):
            raise ValueError(instruction)
        return predict(forecaster, images, instruction, **options)

    monkeypatch.setattr(Forecaster, "predict", fails_as_told)
    for reason in ("fail one way", "fail one way", "fail another way", "fail one way"):
        answer = calls.call(reason)
        assert not answer.success and reason in answer.message
    assert ["one way" in text for text in calls.log.errors] == [True, False]
    assert "Traceback" in calls.log.errors[0]

    assert calls.call("go").success
    calls.call("fail one way")
    assert len(calls.log.errors) == 3


def test_what_is_dropped_is_counted_once_and_not_for_calls(caller, monkeypatch):
    """Of two images one cannot be read and the forecast of the other fails, for the cameras once and for calls again."""
    calls = caller(max_rate=1e-10)  # the cameras' next forecast is due in centuries
    failed = threading.Event()

    def fails(*given, **options):
        failed.set()
        raise ValueError("no forecast")

    monkeypatch.setattr(Forecaster, "predict", fails)
    calls.see(stamp=6, unreadable="side")
    calls.listened = True
    calls.thread.look_around(judge_silence=False)
    assert failed.wait(LIMIT_SECONDS)
    for _ in range(2):
        assert "no forecast" in calls.call().message

    status = calls.statistics.status(time.monotonic(), "node", Standing(None), None, {})
    dropped = {pair.key: pair.value for pair in status.values if "dropped" in pair.key}
    assert dropped == {"images dropped: failed": "1", "images dropped: refused": "1"}


def test_a_call_takes_no_image_that_is_too_old(caller):
    calls = caller(max_image_age=1.0)
    calls.now = 5_500_000_000
    assert calls.call().success

    calls.now = 7_000_000_000
    assert calls.call() == "the newest image of side and effector is older than max_image_age (1.0 s)"


def test_a_call_that_holds_the_images_up_is_named_until_it_ends(caller, monkeypatch):
    calls = caller()
    asked, go_on = threading.Event(), threading.Event()

    def held(*given, **options):
        asked.set()
        assert go_on.wait(LIMIT_SECONDS)
        raise ValueError("no forecast")

    monkeypatch.setattr(Forecaster, "predict", held)
    job = calls.thread.request(Predict.Request())
    calls.listened = True
    assert asked.wait(LIMIT_SECONDS)

    standing = calls.thread.standing()
    assert standing.waiting_for is None
    assert standing.working_on == "a ~/predict call" and standing.working_for > 0
    calls.listened = False
    go_on.set()
    assert not _result(job.answer).success
    calls.call()
    assert calls.thread.standing().obstacle == "", "a call's failure is its caller's"


def test_why_no_forecast_comes_of_a_camera_or_of_any_is_known_until_one_does(caller, monkeypatch):
    calls = caller(max_rate=1000.0)
    delivered = []
    monkeypatch.setattr(calls.thread, "_deliver", lambda result: delivered.append(result) or Predict.Response())
    predict = Forecaster.predict
    calls.listened = True

    def forecast(stamp: int, until, **images) -> Standing:
        """Shows images until `until` holds of how the thread stands."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not until(standing := calls.thread.standing()):
            assert time.monotonic() < deadline, standing
            calls.see(stamp, **images)
            threading.Event().wait(0.01)
        return standing

    standing = forecast(10, lambda standing: "side" in standing.seconds_since_used)
    assert standing.left_out == {"side": "", "effector": ""}
    standing = forecast(11, lambda standing: standing.left_out["side"], unreadable="side")
    assert standing.left_out == {
        "side": "refused, encoding 'no such encoding' is not an image that the model can see",
        "effector": "",
    }

    def fails(*given, **options):
        raise ValueError("no forecast")

    monkeypatch.setattr(Forecaster, "predict", fails)
    assert forecast(12, lambda standing: standing.obstacle).obstacle == "the forecast failed: ValueError: no forecast"
    monkeypatch.setattr(Forecaster, "predict", predict)
    assert forecast(13, lambda standing: not standing.obstacle).left_out == {"side": "", "effector": ""}


LONG = dict(num_samples=64, num_solver_steps=1000)  # a call that takes longer than any test


def test_the_stream_goes_on_between_the_solver_steps_of_a_call(caller, monkeypatch):
    calls = caller()
    step = ForecastThread._between_steps

    def new_images_at_each_step(*given, of_call):
        if of_call:
            calls.see(stamp=6 + len(calls.results))
        step(*given, of_call=of_call)

    monkeypatch.setattr(ForecastThread, "_between_steps", new_images_at_each_step)
    calls.listened = True
    job = calls.begin(num_samples=3, num_solver_steps=5)
    assert _result(job.answer).success

    of_stream = [result for result in calls.results if result.job.answer is None]
    [of_call] = [result for result in calls.results if result.job is job]
    assert len(of_stream) >= 4 and of_call is calls.results[-1]
    alone = Forecaster.predict(calls.forecaster, of_call.images, "go", k=3, steps=5, seed=0)
    assert np.array_equal(of_call.forecast.tracks, alone.tracks), (
        "the call's own forecast is as if nothing had come between"
    )


def test_a_long_call_is_cut_short_between_two_steps_and_answered(caller, monkeypatch):
    monkeypatch.setattr(thread, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(thread, "CUTTING_SECONDS", LIMIT_SECONDS)
    calls = caller()
    working, waiting = (calls.begin(**LONG) for _ in range(2))
    calls.thread.stop()
    assert [_result(job.answer).message for job in (working, waiting)] == ["the node was deactivated"] * 2
    assert not calls.results

    calls.thread.start()
    calls.see(stamp=7)
    assert calls.call().success, "and the next forecasts are made"


def test_what_cannot_be_cut_short_is_left_behind_and_the_networks_stay_with_one_thread(caller, monkeypatch):
    monkeypatch.setattr(thread, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(thread, "CUTTING_SECONDS", 0.0)
    calls = caller()
    predict, begun, go_on = Forecaster.predict, [threading.Event(), threading.Event()], threading.Event()

    def held(*given, **options):
        begun[0].set()
        assert go_on.wait(LIMIT_SECONDS)
        return predict(*given, **options)

    monkeypatch.setattr(Forecaster, "predict", held)
    job = calls.begin()
    assert begun[0].wait(LIMIT_SECONDS)
    calls.thread.stop()
    assert _result(job.answer).message == "the node was deactivated"

    monkeypatch.setattr(Forecaster, "predict", lambda *given, **options: begun[1].set() or predict(*given, **options))
    calls.thread.start()
    calls.see(stamp=7)
    next_job = calls.begin()
    assert calls.thread.standing().waiting_for == "the end of a forecast that was cut short"
    assert not begun[1].is_set()
    go_on.set()
    assert _result(next_job.answer).success
    assert [result.job for result in calls.results] == [next_job], "nothing came of the first"


def test_a_call_for_which_the_networks_would_be_compiled_anew_is_refused_with_the_remedy(caller):
    calls = caller(compile=True)
    refusal = calls.begin(num_samples=3)
    assert "compiled for 1" in refusal and "take 1, or configure with compile set to false" in refusal
    assert calls.call().success


PAST = 4  # frames that the checkpoint below takes, 0.05 s apart
HEIGHT, WIDTH = 96, 160
WIDE = np.random.default_rng(0).integers(0, 256, (24, 60, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)


@pytest.fixture(scope="module")
def checkpoint_with_past(tmp_path_factory) -> Path:
    """It also says what will be seen."""
    folder = tmp_path_factory.mktemp("with_past")
    write_checkpoint_with_text(folder, history_frames=PAST)
    config = tiny_config(history_frames=PAST)
    vae, denoiser = config.vae, config.denoiser
    head = VisibilityHeadConfig(
        vae.num_frames,
        tuple(vae.grid),
        (vae.latent_frames, vae.latent_channels, *vae.latent_grid),
        denoiser.image_grid,
        denoiser.image_dim,
        dim=32,
    )
    save_config(replace(config, visibility=head), folder)
    save_weights(randomise(VisibilityHead(head)), folder / "visibility_head.safetensors")
    return folder


def show(calls: Caller, *views: str, index: int) -> None:
    """At 20 Hz, a picture that moves two pixels to the right from image to image."""
    moving = np.ascontiguousarray(WIDE[:, 60 - 2 * index : 60 - 2 * index + WIDTH])
    stamp = Time(sec=10, nanosec=index * 50_000_000)
    for view in views:
        message = to_message(moving, Header(stamp=stamp))
        calls.thread.add_image(Frame(view, message, nanoseconds(message.header), time.monotonic()))


def test_a_forecast_is_made_from_where_its_points_were_and_says_how_much_it_knew(
    caller, checkpoint_with_past, monkeypatch
):
    calls = caller(checkpoint_with_past, history_budget_ms=0.0)
    given = []
    predict = Forecaster.predict

    def noted(*images, history_tracks, **options):
        given.append(history_tracks)
        return predict(*images, history_tracks=history_tracks, **options)

    monkeypatch.setattr(Forecaster, "predict", noted)
    for index in range(6):
        show(calls, *(("side", "effector") if index > 2 else ("side",)), index=index)
    assert calls.call().success

    [past], [result] = given, calls.results
    assert [past[view].visible[0].any(axis=(1, 2)).tolist() for view in ("side", "effector")] == [
        [True] * 4,
        [False, False, True, True],
    ]
    assert result.circumstances.history_frames == 2, "of the camera that had fewest"
    tracks, visible = past["side"].tracks[0], past["side"].visible[0]
    moved = (tracks - rescale(query_points((64, 64), (128, 128)), (128, 128), (HEIGHT, WIDTH)))[:, 16:48, 16:48]
    seen = visible[:, 16:48, 16:48]
    assert seen.mean() > 0.9
    error = np.abs(moved - np.array([[-8, 0], [-6, 0], [-4, 0], [-2, 0]])[:, None, None])
    assert error[seen].mean() < 0.3, "pixels of the camera's own picture"

    alone = predict(calls.forecaster, result.images, "go", k=1, seed=0)
    assert np.abs(result.forecast.tracks - alone.tracks).max() > 1e-3, "the past makes a difference"

    calls.thread.stop()
    calls.thread.start()
    show(calls, "side", "effector", index=6)
    assert calls.call().success
    assert calls.results[-1].circumstances.history_frames == 0, "what was before a pause is not the past of what comes"


@pytest.mark.parametrize("frames", [0, 2])
def test_less_of_the_past_can_be_asked_for(caller, checkpoint_with_past, frames):
    calls = caller(checkpoint_with_past, history_budget_ms=0.0, history_frames=frames)
    for index in range(6):
        show(calls, "side", "effector", index=index)
    assert calls.call().success
    assert calls.results[-1].circumstances.history_frames == frames
    assert ("following" in [each.name for each in threading.enumerate()]) == (frames > 0)


def test_a_model_of_the_present_alone_has_nothing_followed(caller):
    calls = caller()
    assert calls.call().success
    assert "following" not in [each.name for each in threading.enumerate()]
    assert calls.results[-1].circumstances.history_frames == 0


def test_what_will_be_seen_and_how_much_was_known_are_in_the_messages(caller, checkpoint_with_past):
    calls = caller(checkpoint_with_past, history_budget_ms=0.0, image_fit="crop")
    for index in range(4):
        show(calls, "side", "effector", index=index)
    assert calls.call().success
    [result] = calls.results
    tracks = read_tracks(tracks_message(result.forecast, result.circumstances))
    summary = read_summary(summary_message(result.forecast, result.circumstances))

    assert tracks.visibility.shape == tracks.tracks.shape[:-1]
    assert np.array_equal(tracks.visibility, result.forecast.visibility.astype(np.float32))
    assert (tracks.visibility >= 0).all() and (tracks.visibility <= 1).all() and tracks.visibility.std() > 0
    assert (tracks.visibility[:, :, 0] > 0.99).all(), "now every point is seen"
    assert (tracks.history_frames, summary.history_frames) == (3, 3)
