import numpy as np
import pytest

from trajforecast_model.evaluation.metrics import energy_score, mean_error, mean_t, scene_sample_variance

RIGHT, NARROW, WIDE = 1.0, 0.3, 3.0  # standard deviations of the samples, of a truth whose own is 1


def mean_score(scale: float, k: int, fair: bool = False) -> float:
    rng = np.random.default_rng(0)
    truths = rng.normal(size=(400, 1, 1, 2))
    samples = rng.normal(size=(400, 64, 1, 1, 2))[:, :k] * scale
    return float(np.mean([energy_score(s, truth, fair) for s, truth in zip(samples, truths, strict=True)]))


def test_energy_score_known_on_paper():
    truth = np.zeros((1, 1, 2))
    samples = np.array([[[[3.0, 4.0]]], [[[0.0, 0.0]]]])
    assert energy_score(samples, truth) == pytest.approx((5 + 0) / 2 - (5 + 5) / 8)
    assert energy_score(samples, truth, fair=True) == pytest.approx((5 + 0) / 2 - (5 + 5) / 4)
    assert energy_score(truth[None], truth) == 0


@pytest.mark.parametrize("fair", [False, True])
def test_energy_score_is_least_for_the_right_spread(fair):
    right = mean_score(RIGHT, 64, fair)
    assert right < mean_score(NARROW, 64, fair) and right < mean_score(WIDE, 64, fair)


def test_the_fair_energy_score_does_not_depend_on_the_number_of_samples():
    assert mean_score(RIGHT, 3, fair=True) == pytest.approx(mean_score(RIGHT, 64, fair=True), rel=0.05)
    assert mean_score(RIGHT, 3) > 1.2 * mean_score(RIGHT, 64)


def test_scene_sample_variance_known_on_paper():
    samples = np.zeros((2, 2, 4, 3, 3, 2))
    samples[0, 0], samples[0, 1] = [1, 0], [-1, 0]  # 1 px from their average; scene 1 has one future only, twice
    assert scene_sample_variance(samples) == 0.5
    assert scene_sample_variance(samples, coordinates="mean") == 0.25
    assert scene_sample_variance(samples + 30) == 0.5
    assert scene_sample_variance(3 * samples) == 9 * 0.5


def test_scene_sample_variance_is_what_mean_has_above_mean_t():
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(8, 16, 5, 2)), rng.normal(size=(16, 5, 2))
    assert scene_sample_variance(samples[None]) == pytest.approx(mean_error(samples, truth) - mean_t(samples, truth))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy_score(np.zeros((1, 3, 4, 2)), np.zeros((3, 4, 2)), fair=True), "at least two samples"),
        (lambda: energy_score(np.zeros((2, 3, 4, 2)), np.zeros((2, 4, 2))), "expected samples"),
        (lambda: scene_sample_variance(np.zeros((2, 3, 2))), r"\[S, K, T, ..., 2\]"),
        (lambda: scene_sample_variance(np.zeros((0, 2, 3, 4, 2))), r"\[S, K, T, ..., 2\]"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
