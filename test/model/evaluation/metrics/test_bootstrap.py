import numpy as np
import pytest

from trajforecast_model.evaluation.metrics.bootstrap import DemoBootstrap


def test_two_demos_known_on_paper():
    # Of two draws both are the same demo in half of the cases: averages 0, 1/2 and 1.
    assert DemoBootstrap(["a", "b"]).mean([0, 1]) == [0, 1]
    assert DemoBootstrap(["a", "b"]).mean([3, 3]) == [3, 3]


def test_the_interval_is_the_one_of_the_standard_error():
    rng = np.random.default_rng(1)
    values = rng.normal(10, 2, 200)
    low, high = DemoBootstrap(list(range(200))).mean(values)
    margin = 1.96 * values.std() / np.sqrt(200)
    assert low == pytest.approx(values.mean() - margin, abs=0.15 * margin)
    assert high == pytest.approx(values.mean() + margin, abs=0.15 * margin)


def test_more_windows_of_the_same_demos_do_not_narrow_it():
    values = np.random.default_rng(1).normal(10, 2, 40)
    once = DemoBootstrap(list(range(40))).mean(values)
    often = DemoBootstrap([demo for demo in range(40) for _ in range(25)]).mean(np.repeat(values, 25))
    assert often == pytest.approx(once)


def test_demos_of_more_windows_weigh_more():
    bootstrap = DemoBootstrap(["long"] * 9 + ["short"])
    low, high = bootstrap.mean([1] * 9 + [0])
    assert (low, high) == (0, 1)
    many = DemoBootstrap([demo for demo in range(100) for _ in range(9)] + list(range(100)))
    low, high = many.mean([1] * 900 + [0] * 100)
    assert low == pytest.approx(0.9) and high == pytest.approx(0.9)


def test_ratios_are_of_the_same_draws():
    values = np.random.default_rng(1).uniform(1, 50, 30)
    bootstrap = DemoBootstrap(list(range(30)))
    assert bootstrap.ratio(2 * values, values) == pytest.approx([2, 2])
    low, high = bootstrap.mean(values)
    assert high - low > 5  # though each of them varies


def test_one_demo_says_nothing_of_others():
    assert DemoBootstrap(["a", "a"]).mean([1, 2]) is None


def test_it_is_the_same_every_time():
    values = np.random.default_rng(1).normal(size=30)
    assert DemoBootstrap(list(range(30))).mean(values) == DemoBootstrap(list(range(30))).mean(values)
