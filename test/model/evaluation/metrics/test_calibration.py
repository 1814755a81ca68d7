import numpy as np
import pytest

from trajforecast_model.evaluation.metrics.calibration import calibration_summary, correlation, track_calibration

TRACKS = 4000


def forecasts(spread: float, k: int = 8, draw: str = "normal", guess_of_scale: bool = True) -> dict:
    """The summary of forecasts whose samples are `spread` times as wide as the truth's own distribution.

    The scale differs from track to track; without `guess_of_scale` the samples do not know it.
    """
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.5, 5, (TRACKS, 1))
    samples, truth = np.zeros((k, 2, TRACKS, 2)), np.zeros((2, TRACKS, 2))
    truth[1] = getattr(rng, draw)(size=(TRACKS, 2)) * scale
    samples[:, 1] = getattr(rng, draw)(size=(k, TRACKS, 2)) * (scale if guess_of_scale else scale.mean()) * spread
    return calibration_summary([track_calibration(samples, truth)], k)


def test_one_track_known_on_paper():
    samples, truth = np.zeros((2, 2, 1, 2)), np.zeros((2, 1, 2))
    samples[1, 1, 0], truth[1, 0] = [2, 4], [1, 5]
    truth[0] = 100  # the first frame does not count
    track = track_calibration(samples, truth)
    assert track.between.tolist() == [0.5]  # x is between 0 and 2, y not between 0 and 4
    assert track.in_box.tolist() == [0]
    assert track.predicted_squared_error.tolist() == [3 / 2 * (2 + 8)]
    assert track.squared_error.tolist() == [9]


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
@pytest.mark.parametrize("k", [2, 8])
def test_calibrated_samples_of_any_distribution_are_found_calibrated(draw, k):
    summary = forecasts(1, k, draw)
    coverage = summary["coverage"]
    assert coverage["expected_per_coordinate"] == (k - 1) / (k + 1)
    assert coverage["per_coordinate"] == pytest.approx(coverage["expected_per_coordinate"], abs=0.02)
    assert coverage["box"] == pytest.approx(coverage["per_coordinate"] ** 2, abs=0.03)  # x and y are independent here
    assert summary["error_over_predicted"] == pytest.approx(1, abs=0.05)
    assert summary["correlation"]["spearman"] > 0.3


def test_reliability_of_calibrated_samples_is_the_diagonal():
    groups = forecasts(1, k=64)["reliability"]
    assert len(groups) == 10 and sum(group["tracks"] for group in groups) == TRACKS
    predicted, error = ([group[name] for group in groups] for name in ("predicted_error", "error"))
    assert predicted == sorted(predicted) and predicted[-1] > 4 * predicted[0]
    np.testing.assert_allclose(error, predicted, rtol=0.15)


def test_too_narrow_and_too_wide_are_told_apart():
    narrow, right, wide = (forecasts(spread) for spread in (0.4, 1, 2.5))
    coverage = [summary["coverage"]["per_coordinate"] for summary in (narrow, right, wide)]
    assert coverage == sorted(coverage) and coverage[0] < 0.55 and coverage[2] > 0.95
    assert narrow["error_over_predicted"] > 1.5 and wide["error_over_predicted"] < 0.6


def test_a_spread_that_says_nothing_has_no_correlation_and_a_flat_reliability():
    summary = forecasts(1, guess_of_scale=False)
    assert abs(summary["correlation"]["spearman"]) < 0.05 and abs(summary["correlation"]["pearson"]) < 0.05
    error = [group["error"] for group in summary["reliability"]]
    assert max(error) < 1.3 * min(error)


def test_pooling_counts_every_track_the_same():
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(4, 16, 30, 2)), rng.normal(size=(16, 30, 2))
    together = calibration_summary([track_calibration(samples, truth)], 4)
    apart = [track_calibration(samples[:, :, chosen], truth[:, chosen]) for chosen in (slice(0, 3), slice(3, 30))]
    assert calibration_summary(apart, 4) == together


def test_samples_that_are_all_the_same_have_no_spread_to_judge():
    truth = np.random.default_rng(0).normal(size=(16, 6, 2))
    same = calibration_summary([track_calibration(np.zeros((3, 16, 6, 2)), truth)], 3)
    assert same["coverage"]["per_coordinate"] == 0
    assert same["error_over_predicted"] is None
    assert same["correlation"] == {"spearman": None, "pearson": None}
    assert len(same["reliability"]) == 6  # as many groups as tracks


def test_correlation_by_rank_sees_any_increasing_relation():
    samples, truth = np.zeros((2, 2, 6, 2)), np.zeros((2, 6, 2))
    samples[1, 1, :, 0] = 1 + np.arange(6)
    truth[1, :, 0] = samples[:, 1, :, 0].mean(axis=0) + np.exp(2 * np.arange(6))
    summary = calibration_summary([track_calibration(samples, truth)], 2)
    assert summary["correlation"]["spearman"] == pytest.approx(1)
    assert summary["correlation"]["pearson"] < 0.9
    truth[1, 1] = truth[1, 0] + [0.5, 0]  # now the first two tracks have the same error, and share their rank
    tied = calibration_summary([track_calibration(samples, truth)], 2)["correlation"]["spearman"]
    ranks = np.array([0.5, 0.5, 2, 3, 4, 5])
    assert tied == pytest.approx(correlation(np.arange(6.0), ranks))


@pytest.mark.parametrize(
    ("samples", "truth", "message"),
    [
        (np.zeros((1, 3, 4, 2)), np.zeros((3, 4, 2)), "two samples"),
        (np.zeros((2, 1, 4, 2)), np.zeros((1, 4, 2)), "two frames"),
        (np.zeros((2, 3, 4, 2)), np.zeros((3, 5, 2)), "expected samples"),
    ],
)
def test_wrong_input_is_refused(samples, truth, message):
    with pytest.raises(ValueError, match=message):
        track_calibration(samples, truth)
