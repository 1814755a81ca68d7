import numpy as np
import pytest
from integer_walks import BASE, random_walks

from trajforecast_model.evaluation.metrics import lrtl, mean_lrtl

SLOW, FAST = (walks[0].reshape(16, 400, 2) for walks in random_walks())


def rigid_motion() -> np.ndarray:
    """The grid turns and drifts in the image plane: [16, 400, 2]."""
    angle = np.linspace(0, 2, 16)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(16, 2, 2)
    return np.einsum("tij,pj->tpi", turn, BASE.reshape(-1, 2) - 128) + np.arange(16)[:, None, None] * [2, 1] + 128


def test_lrtl_of_random_walks():
    assert lrtl(FAST) == pytest.approx(201.41976, rel=1e-6)
    assert lrtl(SLOW) == pytest.approx(81.58835, rel=1e-6)
    assert lrtl(FAST, normalised=True) == pytest.approx(201.41976 / np.sqrt(16 * 400), rel=1e-6)


def test_a_rigid_motion_has_none_and_noise_adds():
    rigid = rigid_motion()
    assert lrtl(rigid) == pytest.approx(0, abs=1e-6)
    noise = np.random.default_rng(0).normal(size=rigid.shape)
    losses = [lrtl(rigid + sigma * noise) for sigma in (0.1, 1, 5)]
    assert losses == sorted(losses) and losses[0] > 1


def test_normalised_it_is_near_the_noise_whatever_the_number_of_points():
    rigid = rigid_motion()
    noise = np.random.default_rng(0).normal(size=rigid.shape)
    full, part = (lrtl((rigid + noise)[:, :points], normalised=True) for points in (400, 200))
    # Five of the 32 directions of the noise hide in the rigid motion.
    assert full == pytest.approx(np.sqrt(2 * 27 / 32), rel=0.05)
    assert part == pytest.approx(full, rel=0.05)


def test_every_object_counts_the_same():
    assert mean_lrtl([FAST, FAST[:, :7]]) == pytest.approx((lrtl(FAST) + lrtl(FAST[:, :7])) / 2)
    assert mean_lrtl([FAST, SLOW], normalised=True) == pytest.approx((lrtl(FAST) + lrtl(SLOW)) / 2 / 80)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lrtl(np.zeros((3, 4))), "T, N, 2"),
        (lambda: lrtl(np.zeros((3, 0, 2))), "T, N, 2"),
        (lambda: lrtl(np.full((3, 4, 2), np.nan)), "not finite"),
        (lambda: mean_lrtl([]), "at least one"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
