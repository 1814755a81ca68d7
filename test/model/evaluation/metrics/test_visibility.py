import numpy as np
import pytest

from trajforecast_model.evaluation.metrics import average_jaccard, occlusion_accuracy, points_within

# One video of three frames and two points; the first frame is given and does not count.
VISIBLE = np.array([[True, True], [True, True], [True, False]])
TRUTH = np.zeros((3, 2, 2))


def test_occlusion_accuracy_known_on_paper():
    forecast = np.array([[False, False], [True, False], [True, False]])
    assert occlusion_accuracy(forecast, VISIBLE) == 3 / 4
    assert occlusion_accuracy(VISIBLE, VISIBLE) == 1
    assert occlusion_accuracy(~VISIBLE, VISIBLE) == 0


def test_average_jaccard_known_on_paper():
    tracks = TRUTH.copy()
    tracks[1, 0] = 3, 0  # right for the thresholds 4, 8 and 16
    tracks[1, 1] = 0, 20  # never right
    forecast = np.array([[True, True], [True, True], [True, True]])  # the last is a false alarm
    # Truly visible: 3. Threshold 1 and 2: one is right, three forecast as visible are not. 4, 8, 16: two and two.
    expected = (2 * 1 / (3 + 3) + 3 * 2 / (3 + 2)) / 5
    assert average_jaccard(tracks, forecast, TRUTH, VISIBLE) == pytest.approx(expected)
    assert average_jaccard(TRUTH, VISIBLE, TRUTH, VISIBLE) == 1
    assert average_jaccard(TRUTH, ~VISIBLE, TRUTH, VISIBLE) == 0


def test_points_within_known_on_paper():
    tracks = TRUTH.copy()
    tracks[1, 0] = 3, 0
    tracks[1, 1] = 0, 20
    tracks[2, 1] = 0.5, 0  # hidden, so it does not count
    assert points_within(tracks, TRUTH, VISIBLE) == {1: 1 / 3, 2: 1 / 3, 4: 2 / 3, 8: 2 / 3, 16: 2 / 3}


def test_a_distance_of_the_threshold_itself_is_too_far():
    tracks = TRUTH.copy()
    tracks[1:] = 16, 0
    assert average_jaccard(tracks, VISIBLE, TRUTH, VISIBLE) == 0
    tracks[1:] = 15.999, 0
    assert average_jaccard(tracks, VISIBLE, TRUTH, VISIBLE) == 1 / 5


def test_average_jaccard_falls_with_noise_and_the_first_frame_does_not_matter():
    rng = np.random.default_rng(0)
    truth, noise = rng.normal(0, 50, (16, 40, 2)), rng.normal(size=(16, 40, 2))
    visible = rng.random((16, 40)) < 0.8
    values = [average_jaccard(truth + sigma * noise, visible, truth, visible) for sigma in (0, 1, 5, 20)]
    assert values == sorted(values, reverse=True) and values[0] == 1
    spoilt, elsewhere = visible.copy(), truth.copy()
    spoilt[0] = ~spoilt[0]
    elsewhere[0] += 100
    assert average_jaccard(elsewhere, spoilt, truth, visible) == 1
    assert occlusion_accuracy(spoilt, visible) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: occlusion_accuracy(VISIBLE.astype(float), VISIBLE), "forecast_visible: expected bool"),
        (lambda: occlusion_accuracy(VISIBLE[:1], VISIBLE[:1]), "at least two frames"),
        (lambda: average_jaccard(TRUTH[:, :1], VISIBLE, TRUTH, VISIBLE), "expected tracks and truth"),
        (lambda: points_within(TRUTH, TRUTH, ~VISIBLE & False), "no point is visible after the first frame"),
        (lambda: points_within(TRUTH, TRUTH[:2], VISIBLE), "expected tracks and truth"),
        (lambda: average_jaccard(TRUTH, ~VISIBLE & False, TRUTH, ~VISIBLE & False), "no point is visible"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
