import numpy as np
import pytest

from trajforecast_model.evaluation.metrics import (
    ade,
    best_of_k,
    fde,
    mean_error,
    mean_t,
    min_error,
    nothing_moves_error,
    squared_error,
    vepe,
)

# A forecast whose errors are known on paper: two frames, two points that truly stay at the origin. Sample a moves
# point 0 by (3, 4), sample b moves point 0 by (-3, 0) and point 1 by (0, 2), both in the last frame.
TRUTH = np.zeros((2, 2, 2))
SAMPLES = np.zeros((2, 2, 2, 2))
SAMPLES[0, 1, 0] = 3, 4
SAMPLES[1, 1, 0] = -3, 0
SAMPLES[1, 1, 1] = 0, 2
WITH_NAN = np.zeros((1, 2, 3, 4, 2))
WITH_NAN[0, 1, 2, 3, 0] = np.nan


def test_errors_of_a_forecast_known_on_paper():
    # Squared distances in the last frame: a 25 and 0, b 9 and 4; half of them once averaged over the two frames.
    np.testing.assert_allclose(squared_error(SAMPLES, TRUTH), [[12.5, 0], [4.5, 2]])
    # The average of the samples is (0, 2) and (0, 1) in the last frame: (4 + 1) / 2 points / 2 frames.
    assert mean_t(SAMPLES, TRUTH) == 1.25
    assert mean_error(SAMPLES, TRUTH) == (6.25 + 3.25) / 2
    assert min_error(SAMPLES, TRUTH) == 3.25
    assert min_error(SAMPLES, TRUTH, per="track") == (4.5 + 0) / 2
    # Distances 5 and 0, 3 and 2 in the last frame.
    assert ade(SAMPLES, TRUTH) == pytest.approx((5 + 0 + 3 + 2) / 8)
    assert fde(SAMPLES, TRUTH) == pytest.approx((5 + 0 + 3 + 2) / 4)
    assert nothing_moves_error(SAMPLES[0]) == 25 / 4


@pytest.mark.parametrize("metric", [mean_t, mean_error, min_error])
def test_averaging_x_and_y_halves_the_error(metric):
    assert metric(SAMPLES, TRUTH, coordinates="mean") == metric(SAMPLES, TRUTH) / 2


def test_mean_splits_into_mean_t_and_variance():
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(8, 16, 5, 2)), rng.normal(size=(16, 5, 2))
    variance = samples.var(axis=0).sum(-1).mean()
    assert mean_error(samples, truth) == pytest.approx(mean_t(samples, truth) + variance)
    assert min_error(samples, truth, per="track") <= min_error(samples, truth) <= mean_error(samples, truth)


@pytest.mark.parametrize("metric", [mean_t, mean_error, min_error])
def test_errors_vanish_on_the_truth_do_not_see_where_it_lies_and_grow_with_noise(metric):
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 20, (16, 5, 2))
    noise = rng.normal(size=(8, 16, 5, 2))
    assert metric(np.tile(truth, (8, 1, 1, 1)), truth) == pytest.approx(0, abs=1e-20)
    errors = [metric(truth + sigma * noise, truth) for sigma in (0.5, 2, 8)]
    assert errors == sorted(errors)
    assert metric(truth + noise + 40, truth + 40) == pytest.approx(metric(truth + noise, truth))


def test_best_of_k_takes_the_best_pair_of_each_scene():
    generated = np.zeros((2, 2, 3, 4, 4, 2))
    simulated = np.zeros((2, 3, 3, 4, 4, 2))
    generated[0, 0] += 7
    generated[0, 1] += 1
    simulated[0] += np.array([5.0, 3.0, 9.0]).reshape(3, 1, 1, 1, 1)
    generated[1] += 100
    simulated[1, 2] += 100
    # Scene 0: 1 against 3 and 7 against 5 and 9 are all 2 px apart in x and in y. Scene 1 is hit exactly.
    assert best_of_k(generated, simulated) == (8 + 0) / 2
    assert best_of_k(generated, simulated, coordinates="mean") == 2
    assert best_of_k(generated[:, ::-1], simulated[:, ::-1]) == 4  # the order of the futures does not matter
    assert best_of_k(generated[:, :1], simulated) >= best_of_k(generated, simulated)


def test_vepe_is_the_mean_distance_of_what_is_visible():
    visible = np.array([[[True, True], [True, False]], [[True, True], [False, True]]])
    # Distances of the visible: sample a 0, 0 and 5; sample b 0, 0 and 2.
    assert vepe(SAMPLES, np.zeros_like(SAMPLES), visible) == pytest.approx(7 / 6)
    everything = np.ones((2, 2, 2), bool)
    assert vepe(SAMPLES, np.zeros_like(SAMPLES), everything) == pytest.approx(ade(SAMPLES, TRUTH))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_t(np.zeros((2, 3, 4, 2)), np.zeros((3, 5, 2))), "expected samples"),
        (lambda: mean_error(np.zeros((0, 3, 4, 2)), np.zeros((3, 4, 2))), "expected samples"),
        (lambda: min_error(SAMPLES, TRUTH, per="point"), "'window' or 'track'"),
        (lambda: mean_error(SAMPLES, TRUTH, coordinates="max"), "'sum' or 'mean'"),
        (lambda: best_of_k(np.zeros((1, 2, 3, 2)), np.zeros((2, 2, 3, 2))), "expected generated"),
        (lambda: best_of_k(np.zeros((1, 0, 3, 2)), np.zeros((1, 2, 3, 2))), "expected generated"),
        (lambda: best_of_k(np.zeros((1, 2, 3, 4, 3)), np.zeros((1, 2, 3, 4, 3))), "expected generated"),
        (lambda: best_of_k(WITH_NAN, np.zeros((1, 2, 3, 4, 2))), "generated: some values are not finite"),
        (lambda: ade(np.zeros((16, 32, 2)), np.zeros((1, 32, 2))), "expected tracks"),
        (lambda: ade(np.zeros((16, 32, 2)), np.zeros((32, 2))), "expected tracks"),
        (lambda: ade(np.zeros((0, 32, 2)), np.zeros((0, 32, 2))), "expected tracks"),
        (lambda: fde(np.zeros((16, 32, 2)), np.zeros((12, 32, 2))), "expected tracks"),
        (lambda: fde(np.zeros((32, 2)), np.zeros((32, 2))), "expected tracks"),
        (lambda: vepe(SAMPLES, TRUTH, np.ones((2, 2), bool)), "of one shape"),
        (lambda: vepe(TRUTH, TRUTH, np.ones((2, 3), bool)), r"expected bool \[2, 2\]"),
        (lambda: vepe(TRUTH, TRUTH, np.ones((2, 2))), "got float64"),
        (lambda: vepe(TRUTH, TRUTH, np.zeros((2, 2), bool)), "no point is visible"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
