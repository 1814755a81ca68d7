import numpy as np
import pytest

from trajforecast_model.evaluation.metrics import (
    ade,
    best_of_k,
    energy_score,
    fde,
    fvmd,
    lrtl,
    mean_error,
    mean_t,
    min_error,
    squared_error,
)

# A forecast whose errors are known on paper: two frames, two points that truly stay at the origin. Sample a moves
# point 0 by (3, 4), sample b moves point 0 by (-3, 0) and point 1 by (0, 2), both in the last frame.
TRUTH = np.zeros((2, 2, 2))
SAMPLES = np.zeros((2, 2, 2, 2))
SAMPLES[0, 1, 0] = 3, 4
SAMPLES[1, 1, 0] = -3, 0
SAMPLES[1, 1, 1] = 0, 2


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


@pytest.mark.parametrize("metric", [mean_t, mean_error, min_error])
def test_averaging_x_and_y_halves_the_error(metric):
    assert metric(SAMPLES, TRUTH, coordinates="mean") == metric(SAMPLES, TRUTH) / 2


def test_mean_splits_into_mean_t_and_variance():
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(8, 16, 5, 2)), rng.normal(size=(16, 5, 2))
    variance = samples.var(axis=0).sum(-1).mean()
    assert mean_error(samples, truth) == pytest.approx(mean_t(samples, truth) + variance)
    assert min_error(samples, truth, per="track") <= min_error(samples, truth) <= mean_error(samples, truth)


def test_energy_score_known_on_paper_and_proper():
    truth = np.zeros((1, 1, 2))
    samples = np.array([[[[3.0, 4.0]]], [[[0.0, 0.0]]]])
    assert energy_score(samples, truth) == pytest.approx((5 + 0) / 2 - (5 + 5) / 8)
    assert energy_score(truth[None], truth) == 0

    rng = np.random.default_rng(0)
    truths = rng.normal(size=(300, 1, 1, 2))

    def score(scale: float) -> float:
        return np.mean([energy_score(rng.normal(size=(64, 1, 1, 2)) * scale, truth) for truth in truths])

    right = score(1.0)
    assert right < score(0.3) and right < score(3.0)


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


BASE = np.stack(np.meshgrid(8 + 12 * np.arange(20), 8 + 12 * np.arange(20)), -1).astype(float)  # [20, 20, 2]


def steady(x: float, y: float) -> np.ndarray:
    return np.tile(BASE + np.arange(16)[:, None, None, None] * np.array([x, y]), (8, 1, 1, 1, 1))


def random_walks() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    slow = rng.integers(-1, 2, (8, 16, 400, 2))
    fast = rng.integers(-3, 4, (8, 16, 400, 2))
    return tuple(BASE.reshape(400, 2) + np.cumsum(steps, axis=1) for steps in (slow, fast))


def as_grid(tracks: np.ndarray) -> np.ndarray:
    return tracks.reshape(*tracks.shape[:2], 20, 20, 2)


def test_fvmd_of_steady_motions():
    distance = fvmd(steady(1, 0), steady(0, 3))
    assert distance.velocity == pytest.approx(44531.23976, rel=1e-8)
    assert distance.acceleration == pytest.approx(-0.01024, abs=1e-6)
    assert distance.combined == pytest.approx(44531.22952, rel=1e-8)


def test_fvmd_of_random_walks():
    slow, fast = random_walks()
    distance = fvmd(as_grid(slow), as_grid(fast))
    assert distance.velocity == pytest.approx(1793.2518, rel=1e-3)
    assert distance.acceleration == pytest.approx(1775.3001, rel=1e-3)
    assert distance.combined == pytest.approx(3598.7138, rel=1e-3)


def test_fvmd_is_symmetric_nothing_for_itself_and_grows_with_noise():
    rng = np.random.default_rng(1)
    reference = BASE[:10, :10] + np.cumsum(rng.normal(0, 2, (12, 16, 10, 10, 2)), axis=1)
    assert abs(fvmd(reference, reference).combined) < 0.05
    noisy = [reference + rng.normal(0, sigma, reference.shape) for sigma in (0.5, 2, 8)]
    distances = [fvmd(tracks, reference).velocity for tracks in noisy]
    assert distances == sorted(distances)
    assert fvmd(reference, noisy[1]).combined == pytest.approx(fvmd(noisy[1], reference).combined, rel=1e-6)
    assert fvmd(noisy[1] + [30, -7], reference).combined == pytest.approx(fvmd(noisy[1], reference).combined, rel=1e-3)


def test_lrtl():
    slow, fast = random_walks()
    assert lrtl(fast[0]) == pytest.approx(201.41976, rel=1e-6)
    assert lrtl(slow[0]) == pytest.approx(81.58835, rel=1e-6)

    angle = np.linspace(0, 2, 16)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(16, 2, 2)
    rigid = np.einsum("tij,pj->tpi", turn, BASE.reshape(-1, 2) - 128) + np.arange(16)[:, None, None] * [2, 1] + 128
    assert lrtl(rigid) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_t(np.zeros((2, 3, 4, 2)), np.zeros((3, 5, 2))), "expected samples"),
        (lambda: mean_error(np.zeros((0, 3, 4, 2)), np.zeros((3, 4, 2))), "expected samples"),
        (lambda: min_error(SAMPLES, TRUTH, per="point"), "'window' or 'track'"),
        (lambda: mean_error(SAMPLES, TRUTH, coordinates="max"), "'sum' or 'mean'"),
        (lambda: best_of_k(np.zeros((1, 2, 3, 2)), np.zeros((2, 2, 3, 2))), "expected generated"),
        (lambda: fvmd(steady(1, 0)[:1], steady(1, 0)), "at least two"),
        (lambda: fvmd(steady(1, 0)[:, :3], steady(1, 0)[:, :3]), "at least 4 frames"),
        (lambda: fvmd(steady(1, 0)[:, :8], steady(1, 0)), "differ"),
        (lambda: lrtl(np.zeros((3, 4))), "T, N, 2"),
    ],
)
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
