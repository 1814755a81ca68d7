import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trajforecast_model.tracks.grid import denormalise, normalise, query_points, rescale
from trajforecast_model.tracks.motion import moving_points
from trajforecast_model.tracks.summary import CHUNK, confidence, mean_track, medoid, spread


def test_query_points_are_the_centres_of_every_other_pixel():
    points = query_points((64, 64), (128, 128))
    assert points.shape == (64, 64, 2)
    assert points[0, :3, 0].tolist() == [1.5, 3.5, 5.5]
    assert points[-1, -1].tolist() == [127.5, 127.5]
    assert points[2, 5].tolist() == [11.5, 5.5]  # x then y


def test_query_points_of_a_rectangular_grid_lie_inside_the_image():
    points = query_points((32, 58), (256, 464))
    assert points.shape == (32, 58, 2)
    assert points[..., 0].max() < 464 and points[..., 1].max() < 256 and points.min() > 0


@given(
    st.tuples(st.integers(1, 2000), st.integers(1, 2000)), st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    st.floats(-1, 1), st.floats(-1, 1),
)  # fmt: skip
def test_coordinates_round_trip(size, other, x, y):
    point = np.array([x, y])
    np.testing.assert_allclose(normalise(denormalise(point, size), size), point, atol=1e-9)
    pixels = denormalise(point, size)
    np.testing.assert_allclose(rescale(rescale(pixels, size, other), other, size), pixels, atol=1e-6)
    np.testing.assert_allclose(normalise(rescale(pixels, size, other), other), point, atol=1e-9)


def test_corners_and_torch_agree():
    size = (480, 640)
    corners = np.array([[0.0, 0.0], [640.0, 480.0], [320.0, 240.0]])
    np.testing.assert_allclose(normalise(corners, size), [[-1, -1], [1, 1], [0, 0]])
    np.testing.assert_allclose(normalise(torch.from_numpy(corners), size).numpy(), normalise(corners, size))


def test_moving_points_is_the_unbiased_variance_filter():
    rng = np.random.default_rng(0)
    tracks = rng.normal(size=(3, 16, 4, 4, 2)) * rng.uniform(0, 4, (3, 1, 4, 4, 1))
    expected = torch.from_numpy(tracks).var(dim=1).sum(-1) > 10
    assert 0 < expected.sum() < expected.numel()
    assert np.array_equal(moving_points(tracks), expected.numpy())
    assert torch.equal(moving_points(torch.from_numpy(tracks)), expected)


def test_summaries_of_samples():
    base = np.zeros((4, 16, 8, 8, 2), np.float32)
    base[0] += 1.0
    base[1] += 1.1
    base[2] += 1.2
    base[3] += 9.0
    assert medoid(base) == 1 or medoid(base) == 2
    np.testing.assert_allclose(mean_track(base), base.mean(0), rtol=1e-6)
    np.testing.assert_allclose(spread(base, mean_track(base)), np.sqrt(2 * base[..., 0].var(0)), rtol=1e-5)
    assert medoid(base[:1]) == 0
    assert spread(base[:1], base[0]) == pytest.approx(0)


@pytest.mark.parametrize("points", [(3, 5), (2, CHUNK // 2 + 7)])  # within a chunk, and over two
def test_summaries_are_those_of_the_plain_formulas(points):
    rng = np.random.default_rng(0)
    for k in range(1, 7):
        tracks = (300 + rng.normal(size=(k, 1, *points, 2)) * rng.uniform(0.1, 9, (k, 1, 1, 1, 1))).astype(np.float32)
        exact = tracks.astype(np.float64)
        between = np.linalg.norm(exact[:, None] - exact, axis=-1).mean(axis=(2, 3, 4))  # [k, k]
        assert medoid(tracks) == between.sum(axis=1).argmin()
        from_mean = np.linalg.norm(exact - exact.mean(axis=0), axis=-1)
        np.testing.assert_allclose(spread(tracks, mean_track(tracks)), np.sqrt((from_mean**2).mean(axis=0)), atol=1e-4)


def test_of_equal_samples_the_first_is_the_medoid():
    tracks = np.random.default_rng(0).normal(size=(5, 16, 8, 8, 2)).astype(np.float32)
    tracks[[1, 3, 4]] = tracks[1]
    assert medoid(tracks) == 1


def test_confidence_is_the_share_of_the_samples_that_lie_near():
    tracks = np.random.default_rng(0).normal(size=(8, 16, 40, 40, 2)).astype(np.float32)
    tracks[5:] += 30.0  # five go one way, three another
    shares = confidence(tracks)

    assert shares.shape == (8,)
    assert shares.sum() == pytest.approx(1)
    assert shares[:5].min() > shares[5:].max() > 0
    np.testing.assert_allclose(shares[:5], shares[0], rtol=0.05)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_samples_that_are_alike_share_confidence_evenly(k):
    np.testing.assert_allclose(confidence(np.zeros((k, 4, 3, 3, 2), np.float32)), 1 / k)


def test_confidence_when_most_samples_are_the_same():
    tracks = np.zeros((6, 4, 3, 3, 2), np.float32)
    tracks[5] = 7.0
    np.testing.assert_allclose(confidence(tracks), [5 / 26] * 5 + [1 / 26])
