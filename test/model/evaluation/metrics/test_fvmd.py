import numpy as np
import pytest
from integer_walks import BASE, random_walks, steady

from trajforecast_model.evaluation.metrics import clips, fvmd, fvmd_per_scene, rounded_to_eighths


def test_fvmd_of_steady_motions():
    distance = fvmd(steady(1, 0), steady(0, 3))
    assert distance.velocity == pytest.approx(44531.23976, rel=1e-8)
    assert distance.acceleration == pytest.approx(-0.01024, abs=1e-6)
    assert distance.combined == pytest.approx(44531.22952, rel=1e-8)


def test_fvmd_of_random_walks():
    slow, fast = random_walks()
    distance = fvmd(slow, fast)
    assert distance.velocity == pytest.approx(1793.2518, rel=1e-3)
    assert distance.acceleration == pytest.approx(1775.3001, rel=1e-3)
    assert distance.combined == pytest.approx(3598.7138, rel=1e-3)


def walks(sets: int, seed: int, size: int = 10) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return BASE[:size, :size] + np.cumsum(rng.normal(0, 2, (sets, 16, size, size, 2)), axis=1)


def test_fvmd_is_symmetric_nothing_for_itself_and_grows_with_noise():
    rng = np.random.default_rng(1)
    reference = walks(12, 1)
    assert abs(fvmd(reference, reference).combined) < 0.05
    noisy = [reference + rng.normal(0, sigma, reference.shape) for sigma in (0.5, 2, 8)]
    distances = [fvmd(tracks, reference).velocity for tracks in noisy]
    assert distances == sorted(distances)
    assert fvmd(reference, noisy[1]).combined == pytest.approx(fvmd(noisy[1], reference).combined, rel=1e-6)
    assert fvmd(noisy[1] + [30, -7], reference).combined == pytest.approx(fvmd(noisy[1], reference).combined, rel=1e-3)


def test_few_sets_of_many_features_and_many_of_few_give_the_same_formula():
    """Below as many sets as features the distance is taken in the span of the sets: it must not change there."""
    generated, reference = walks(40, 1, size=5), walks(40, 2, size=5)  # 32 features a quantity, 80 sets
    many = fvmd(generated, reference)
    # Still points add 320 features that are zero in every set. Each changes the distance by -2 eps and no more.
    still = np.zeros((40, 16, 5, 50, 2))
    few = fvmd(np.concatenate([generated, still], axis=3), np.concatenate([reference, still], axis=3))
    assert few.velocity == pytest.approx(many.velocity - 2e-5 * 320, abs=1e-5)
    assert few.acceleration == pytest.approx(many.acceleration - 2e-5 * 320, abs=1e-5)


def test_order_and_batching_of_the_sets_do_not_matter():
    generated, reference = walks(70, 1, size=5), walks(33, 2, size=5)
    shuffled = np.random.default_rng(0).permutation(70)
    assert fvmd(generated[shuffled], reference).combined == pytest.approx(fvmd(generated, reference).combined)


def test_fvmd_per_scene_is_the_mean_of_the_scenes():
    generated, reference = walks(12, 1).reshape(3, 4, 16, 10, 10, 2), walks(15, 2).reshape(3, 5, 16, 10, 10, 2)
    alone = [fvmd(generated[scene], reference[scene]) for scene in range(3)]
    together = fvmd_per_scene(generated, reference)
    assert together.velocity == pytest.approx(np.mean([distance.velocity for distance in alone]))
    assert together.acceleration == pytest.approx(np.mean([distance.acceleration for distance in alone]))
    assert together.combined == pytest.approx(np.mean([distance.combined for distance in alone]))


def test_jitter_of_still_points_counts_raw_but_not_in_eighths():
    jitter = np.random.default_rng(0).normal(0, 1e-3, (8, 16, 20, 20, 2))
    still = np.tile(BASE, (8, 16, 1, 1, 1))
    assert fvmd(still + jitter, still).velocity > 100
    assert abs(fvmd(rounded_to_eighths(still + jitter), rounded_to_eighths(still)).combined) < 0.05


def test_clips_begin_at_every_frame():
    tracks = np.arange(2 * 18).reshape(2, 18, 1)
    cut = clips(tracks)
    assert cut.shape == (2 * 3, 16, 1)
    assert cut[:, 0, 0].tolist() == [0, 1, 2, 18, 19, 20]
    assert clips(tracks, frames=9, stride=9).shape == (4, 9, 1)


def test_a_mask_leaves_out_the_motion_to_and_from_hidden_points_of_both_sets():
    generated, reference = walks(12, 1), walks(12, 2)
    visible = np.random.default_rng(3).random(reference.shape[:-1]) > 0.2
    masked = fvmd(generated, reference, visible)
    assert masked.combined < 0.8 * fvmd(generated, reference).combined
    assert fvmd(generated, reference, np.ones_like(visible)) == fvmd(generated, reference)
    spoilt = [np.where(visible[..., None], tracks, np.nan) for tracks in (generated, reference)]
    assert fvmd(*spoilt, visible) == masked
    assert abs(fvmd(generated, reference, np.zeros_like(visible)).combined) < 0.05


def test_acceleration_counts_where_a_point_is_visible_three_times_in_a_row():
    """In two of three frames the velocity between them counts and no acceleration does; in every other one, nothing."""
    generated, reference = walks(12, 1), walks(12, 2)
    for period, velocity_counts in ((3, True), (2, False)):
        visible = np.broadcast_to((np.arange(16) % period > 0)[:, None, None], reference.shape[:-1])
        distance = fvmd(generated, reference, visible)
        assert abs(distance.acceleration) < 0.05
        assert (distance.velocity > 1) == velocity_counts


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fvmd(steady(1, 0), steady(1, 0), np.ones((8, 16, 20, 20))), "visibility: expected bool"),
        (lambda: fvmd(steady(1, 0), steady(1, 0), np.ones((8, 16, 20, 2), bool)), "visibility: expected bool"),
        (lambda: fvmd(steady(1, 0)[:4], steady(1, 0), np.ones((8, 16, 20, 20), bool)), "clips that both sets hold"),
        (lambda: fvmd(steady(1, 0) * np.nan, steady(1, 0), np.ones((8, 16, 20, 20), bool)), "generated: has positions"),
        (lambda: fvmd(steady(1, 0)[:1], steady(1, 0)), "at least two"),
        (lambda: fvmd(steady(1, 0)[:, :3], steady(1, 0)[:, :3]), "at least 4 frames"),
        (lambda: fvmd(steady(1, 0)[:, :8], steady(1, 0)), "differ"),
        (lambda: fvmd(steady(1, 0) * np.nan, steady(1, 0)), "not finite"),
        (lambda: fvmd_per_scene(steady(1, 0)[None], steady(1, 0)[None][:0]), "the same scenes"),
        (lambda: clips(np.zeros((2, 12, 5, 5, 2))), "at least 16 frames"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
