"""What /diagnostics counts."""

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
