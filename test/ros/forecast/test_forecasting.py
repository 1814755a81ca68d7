"""The thread that forecasts, without a node around it."""

import threading
import time

import pytest
from rclpy.task import Future
from robot import header, picture
from trajforecast_msgs.srv import Predict

from trajforecast_model import Forecaster
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.forecast.parameters import ForecastParameters
from trajforecast_ros.forecast.statistics import Standing, Statistics
from trajforecast_ros.forecast.thread import ForecastThread
from trajforecast_ros.images import to_message
from trajforecast_ros.messages import nanoseconds

ANSWER_SECONDS = 60


class Log:
    def __init__(self):
        self.errors = []

    def error(self, text: str) -> None:
        self.errors.append(text)


class Caller:
    """A forecast thread that only calls of ~/predict keep busy, unless somebody listens, and images that are there."""

    def __init__(self, forecaster: Forecaster, **settings):
        self.log, self.now, self.listened = Log(), 0, False
        self.statistics = Statistics(time.monotonic())
        self._settings = ForecastParameters(num_samples=1, instruction="go", camera_timeout=600.0, **settings)
        self.thread = ForecastThread(
            forecaster,
            self._settings,
            self.statistics,
            self.log,
            deliver=lambda result: Predict.Response(success=True),
            anybody_listens=lambda: self.listened,
            clock=lambda: self.now,
            wake_executor=lambda: None,
        )
        self.thread.start()
        self.see(stamp=5)

    def see(self, stamp: int, unreadable: str = "") -> None:
        for view in self._settings.views:
            message = to_message(picture(view), header(view, stamp))
            if view == unreadable:
                message.encoding = "no such encoding"
            self.thread.add_image(Frame(view, message, nanoseconds(message.header), time.monotonic()))

    def call(self, instruction: str = "") -> str | Predict.Response:
        job = self.thread.request(Predict.Request(instruction=instruction))
        return job if isinstance(job, str) else _result(job.answer)


def _result(answer: Future) -> Predict.Response:
    there = threading.Event()
    answer.add_done_callback(lambda _: there.set())
    assert there.wait(ANSWER_SECONDS)
    return answer.result()


@pytest.fixture
def caller(tiny_checkpoint):
    callers = []

    def make(**settings) -> Caller:
        callers.append(Caller(Forecaster.from_pretrained(tiny_checkpoint), **settings))
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
    assert failed.wait(ANSWER_SECONDS)
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
        assert go_on.wait(ANSWER_SECONDS)
        raise ValueError("no forecast")

    monkeypatch.setattr(Forecaster, "predict", held)
    job = calls.thread.request(Predict.Request())
    calls.listened = True
    assert asked.wait(ANSWER_SECONDS)

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
        deadline = time.monotonic() + ANSWER_SECONDS
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
