"""What /diagnostics counts."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from trajforecast_ros.forecast.statistics import Published, Standing, Statistics


def values(statistics: Statistics, now: float, not_scored: dict[str, int] | None = None) -> dict[str, str]:
    status = statistics.status(now, "node", Standing(waiting_for=None), None, not_scored or {})
    return {pair.key: pair.value for pair in status.values}


def published(at: float) -> Published:
    return Published(at, images=2, latency=0.1, compute_time=0.1, image_age=None)


def test_the_rate_is_that_of_the_last_ten_seconds_however_many_they_hold():
    statistics = Statistics(now=0.0)
    for i in range(2000):
        statistics.published(published(at=i / 100))

    assert values(statistics, now=20.0)["rate (1/s)"] == "100.00"
    assert values(statistics, now=25.0)["rate (1/s)"] == "50.00"
    assert values(statistics, now=40.0)["rate (1/s)"] == "0.00"


def test_forecasts_that_were_not_scored_stay_counted_when_their_observer_goes():
    statistics = Statistics(now=0.0)
    statistics.keep_not_scored({"a camera stopped": 2})

    counted = values(statistics, 1.0, {"a camera stopped": 1, "a gap between images": 1})
    assert counted["forecasts not scored: a camera stopped"] == "3"
    assert counted["forecasts not scored: a gap between images"] == "1"


CALM = {"side": "", "effector": ""}
SILENT = {"side": "", "effector": "no image for 3.0 s"}
BLIND = {"side": "refused, encoding '8UC3'", "effector": "no image yet"}


@pytest.mark.parametrize(
    ("standing", "level", "message"),
    [
        (Standing(None, left_out=CALM), DiagnosticStatus.OK, "forecasting side and effector"),
        (
            Standing(None, left_out=SILENT),
            DiagnosticStatus.WARN,
            "forecasting side alone; effector: no image for 3.0 s",
        ),
        (
            Standing(None, left_out=BLIND),
            DiagnosticStatus.ERROR,
            "nothing is forecast; side: refused, encoding '8UC3'; effector: no image yet",
        ),
        (Standing(None, obstacle="stamps apart", left_out=CALM), DiagnosticStatus.ERROR, "stamps apart"),
        (Standing("images", left_out=BLIND), DiagnosticStatus.WARN, "waiting for images"),
        (Standing("a subscriber", left_out=SILENT), DiagnosticStatus.OK, "waiting for a subscriber"),
        (
            Standing(None, left_out=CALM, working_on="a ~/predict call", working_for=10.0),
            DiagnosticStatus.STALE,
            "a ~/predict call has held the images up for 10.0 s; nothing new is forecast",
        ),
        (
            Standing(None, left_out=CALM, working_on="a forecast", working_for=2.0),
            DiagnosticStatus.OK,
            "forecasting side and effector",
        ),
        (
            Standing(None, left_out=CALM, seconds_without=12.0),
            DiagnosticStatus.ERROR,
            "nothing was forecast for 12.0 s, though images come",
        ),
        (
            Standing(None, left_out=CALM, seconds_without=12.0, seconds_between=10.0),
            DiagnosticStatus.OK,
            "forecasting side and effector",
        ),
    ],
)
def test_level_and_message_say_what_is_used_or_why_nothing_is(standing, level, message):
    status = Statistics(now=0.0).status(1.0, "node", standing, None, {})

    assert (status.level, status.message) == (level, message)


def test_each_camera_has_a_line_of_its_own():
    standing = Standing(None, left_out=SILENT, seconds_since_used={"side": 0.12, "effector": 3.3})
    status = Statistics(now=0.0).status(1.0, "node", standing, None, {})
    lines = {pair.key: pair.value for pair in status.values}

    assert lines["camera side"] == "last used 0.1 s ago"
    assert lines["camera effector"] == "no image for 3.0 s; last used 3.3 s ago"


def test_a_forecast_that_takes_as_long_as_they_all_do_holds_nothing_up():
    statistics = Statistics(now=0.0)
    for at in range(5):
        statistics.published(Published(10.0 * at, images=2, latency=9.0, compute_time=9.0, image_age=None))
    standing = Standing(None, left_out=CALM, working_on="a forecast", working_for=20.0, seconds_without=20.0)

    assert statistics.status(50.0, "node", standing, None, {}).level == DiagnosticStatus.OK
