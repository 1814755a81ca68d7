"""Forecasts within a time, on a clock that only the work moves."""

import numpy as np
import pytest

from trajforecast_model.forecaster import Forecaster
from trajforecast_model.inference import budget
from trajforecast_model.inference.budget import CostModel, Effort

WANTED = Effort(steps=9, k=8)


class Machine:
    """Takes 10 ms, 1 ms a sample, and 5 ms and 2 ms a sample for each step; `load` times as long when it is busy."""

    def __init__(self):
        self.load = 1.0
        self.now = 0.0

    def work(self, effort: Effort) -> float:
        seconds = self.load * (10 + effort.k + effort.steps * (5 + 2 * effort.k)) / 1000
        self.now += seconds
        return seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_costs_between_the_measured_ones_are_interpolated(machine):
    model = CostModel(machine.work, WANTED)
    for effort in (Effort(9, 8), Effort(4, 3), Effort(1, 8), Effort(2, 1)):
        assert model.expected(effort) == pytest.approx(machine.work(effort))


def test_of_one_number_of_samples_only_steps_are_left_out(machine):
    measured = []

    def measure(effort: Effort) -> float:
        measured.append(effort.k)
        return machine.work(effort)

    model = CostModel(measure, WANTED, same_k=True)
    assert measured == [8] * 5
    for steps in (1, 5, 9, 12):
        assert model.expected(Effort(steps, 8)) == pytest.approx(machine.work(Effort(steps, 8)))
    assert model.choose(WANTED, 0.15) == Effort(5, 8) and model.choose(WANTED, 0.005) == Effort(2, 8)


@pytest.mark.parametrize(
    ("milliseconds", "effort"),
    [(1000, Effort(9, 8)), (150, Effort(5, 8)), (66.1, Effort(2, 8)), (40, Effort(2, 3)), (5, Effort(2, 1))],
)
def test_steps_go_before_samples(machine, milliseconds, effort):
    assert CostModel(machine.work, WANTED).choose(WANTED, milliseconds / 1000) == effort


def test_a_student_of_one_step_keeps_its_step(machine):
    assert CostModel(machine.work, Effort(1, 8)).choose(Effort(1, 8), 0.020) == Effort(1, 1)


def test_a_machine_that_becomes_busy_and_quiet_again_is_followed(machine):
    model = CostModel(machine.work, WANTED)
    quiet = model.choose(WANTED, 0.15)
    lateness = []
    machine.load = 2.0
    for _ in range(20):
        effort = model.choose(WANTED, 0.15)
        seconds = machine.work(effort)
        model.note(effort, seconds)
        lateness.append(seconds > 0.15)
    assert sum(lateness) <= 2 and not any(lateness[-10:])
    machine.load = 1.0
    for _ in range(budget.REMEMBERED):
        model.note(effort, machine.work(effort))
    assert model.choose(WANTED, 0.15) >= quiet


@pytest.fixture
def forecaster(tiny_checkpoint, machine, monkeypatch) -> Forecaster:
    """Its networks run; the time they take is the machine's."""
    forecaster = Forecaster.from_pretrained(tiny_checkpoint)
    forecast = forecaster._forecast

    def timed(images, instructions, k, steps, *others):
        machine.work(Effort(steps, k))
        return forecast(images, instructions, k, steps, *others)

    monkeypatch.setattr(forecaster, "_forecast", timed)
    monkeypatch.setattr(budget, "clock", lambda: machine.now)
    return forecaster


IMAGE = {"side": np.zeros((16, 16, 3), dtype=np.uint8)}


def test_a_forecast_says_what_was_used(forecaster):
    forecaster.calibrate(num_views=1, k=4, steps=6)
    plenty = forecaster.predict(IMAGE, "stay", k=4, steps=6, deadline_ms=1000)
    assert (plenty.steps, plenty.num_samples, plenty.late) == (6, 4, False)
    tight = forecaster.predict(IMAGE, "stay", k=4, steps=6, deadline_ms=60)
    assert (tight.steps, tight.num_samples, tight.late) == (3, 4, False)
    assert tight.seconds == pytest.approx(0.053)
    hopeless = forecaster.predict(IMAGE, "stay", k=4, steps=6, deadline_ms=3)
    assert (hopeless.steps, hopeless.num_samples, hopeless.late) == (2, 1, True)


def test_the_futures_are_those_of_the_same_effort_without_a_deadline(forecaster):
    forecaster.calibrate(num_views=1, k=4, steps=6)
    within = forecaster.predict(IMAGE, "stay", k=4, steps=6, seed=3, deadline_ms=60)
    same = forecaster.predict(IMAGE, "stay", k=within.num_samples, steps=within.steps, seed=3)
    assert np.array_equal(within.tracks, same.tracks)


def test_the_first_forecast_with_a_deadline_measures_first(forecaster):
    first = forecaster.predict(IMAGE, "stay", k=4, steps=6, deadline_ms=100)
    second = forecaster.predict(IMAGE, "stay", k=4, steps=6, deadline_ms=100)
    assert first.late and not second.late


def test_compiled_networks_keep_the_number_of_samples(forecaster):
    """A network of another number of samples would be compiled within the deadline, for minutes on a GPU."""
    compilations = []

    def counting(graph, inputs):
        compilations.append(inputs)
        return graph.forward

    forecaster.compile(backend=counting)
    forecaster.calibrate(num_views=1, k=4, steps=6)
    made = len(compilations)
    assert made > 0
    efforts = []
    for deadline_ms in (1000, 60, 3):
        forecast = forecaster.predict(IMAGE, "stay", k=4, steps=6, deadline_ms=deadline_ms)
        efforts.append((forecast.steps, forecast.num_samples, forecast.late))
    assert efforts == [(6, 4, False), (3, 4, False), (2, 4, True)]
    assert len(compilations) == made
    first = forecaster.predict(IMAGE, "stay", k=2, steps=6, deadline_ms=100)  # a k of its own costs, measured now
    again = forecaster.predict(IMAGE, "stay", k=2, steps=6, deadline_ms=100)
    assert first.late and not again.late and again.num_samples == 2


@pytest.mark.parametrize("changes", [dict(deadline_ms=0), dict(deadline_ms=float("nan")), dict(solver="dopri5")])
def test_deadlines_that_cannot_be_kept_are_refused(forecaster, changes):
    with pytest.raises(ValueError, match="deadline_ms"):
        forecaster.predict(IMAGE, "stay", **{"k": 1, "deadline_ms": 100} | changes)
