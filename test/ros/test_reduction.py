import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajforecast_model.forecaster import Forecast
from trajforecast_model.tracks.grid import query_points, rescale
from trajforecast_model.tracks.summary import mean_track, spread
from trajforecast_ros.reduction import EVERYTHING, Reduction, parse_points, reduce_samples, reduce_summary

SAMPLES, STEPS, ROWS, COLUMNS = 3, 4, 6, 8
SIZES = [(96, 128), (31, 65)]  # height, width
GRIDS = [rescale(query_points((ROWS, COLUMNS), (24, 32)), (24, 32), size) for size in SIZES]  # [H, W, 2] each


def motion(points: np.ndarray, sample: int, step: int) -> np.ndarray:
    """Where points [..., 2] go: affine, which bilinear interpolation reproduces exactly."""
    x, y = points[..., 0], points[..., 1]
    speed = step * (sample + 1) / 10
    return np.stack([x + speed * (3 + 0.2 * y), y + speed * (0.1 * x - 2)], axis=-1)


def forecast(visibility: np.ndarray | None = None) -> Forecast:
    tracks = np.array(
        [[[motion(grid, k, t) for t in range(STEPS)] for k in range(SAMPLES)] for grid in GRIDS], dtype=np.float32
    )
    return Forecast(
        views=("side", "effector"),
        tracks=tracks,
        visibility=visibility,
        steps=9,
        seed=0,
        dt=0.05,
    )


def test_nothing_is_left_out_unasked():
    made = forecast()

    assert np.shares_memory(reduce_samples(made, SIZES, EVERYTHING).tracks, made.tracks)
    mean, medoids, spreads = reduce_summary(made, SIZES, EVERYTHING)
    assert np.array_equal(mean, made.mean_track)
    assert np.array_equal(medoids, [made.tracks[0, 1], made.tracks[1, 1]])
    assert np.array_equal(spreads, made.spread)


@pytest.mark.parametrize(
    ("stride", "rows", "columns"),
    [
        (2, [0, 2, 4], [0, 2, 4, 6]),
        (3, [1, 4], [1, 4, 7]),
        (8, [2], [3]),
        (100, [2], [3]),
    ],
)
def test_a_stride_keeps_the_middle_of_each_block(stride, rows, columns):
    made = forecast(visibility=np.random.default_rng(0).random((2, SAMPLES, STEPS, ROWS, COLUMNS)))
    samples = reduce_samples(made, SIZES, Reduction(stride=stride))
    summary = reduce_summary(made, SIZES, Reduction(stride=stride))

    assert np.array_equal(samples.tracks, made.tracks[..., rows, :, :][..., columns, :])
    assert np.array_equal(samples.visibility, made.visibility[..., rows, :][..., columns])
    assert np.array_equal(summary.mean_track, made.mean_track[..., rows, :, :][..., columns, :])
    assert np.array_equal(summary.spread, made.spread[..., rows, :][..., columns])
    assert np.array_equal(summary.medoid_track[1], samples.tracks[1, made.medoid[1]])


@pytest.mark.parametrize("points", [(), ((0.25, 0.5),)])
def test_fewer_samples_are_the_first_and_the_summary_stays_that_of_all(points):
    all_of_them, fewer = Reduction(points=points), Reduction(points=points, max_samples=2)
    made = forecast()

    assert np.array_equal(
        reduce_samples(made, SIZES, fewer).tracks, reduce_samples(made, SIZES, all_of_them).tracks[:, :2]
    )
    for reduced, whole in zip(
        reduce_summary(made, SIZES, fewer), reduce_summary(made, SIZES, all_of_them), strict=True
    ):
        assert np.array_equal(reduced, whole)


def test_more_samples_than_there_are_is_all():
    assert reduce_samples(forecast(), SIZES, Reduction(max_samples=50)).tracks.shape[1] == SAMPLES


relative = st.floats(0, 1, allow_subnormal=False)


@given(points=st.lists(st.tuples(relative, relative), min_size=1, max_size=5))
def test_chosen_points_go_where_the_grid_around_them_goes(points):
    """Beyond the outermost grid points a point moves as the nearest point on the border."""
    made = forecast()
    samples = reduce_samples(made, SIZES, Reduction(points=tuple(points)))
    summary = reduce_summary(made, SIZES, Reduction(points=tuple(points)))

    assert samples.tracks.shape == (2, SAMPLES, STEPS, 1, len(points), 2)
    for view, (grid, (height, width)) in enumerate(zip(GRIDS, SIZES, strict=True)):
        wanted = np.array(points) * (width, height)
        on_grid = np.clip(wanted, grid[0, 0], grid[-1, -1])
        expected = np.array([[motion(on_grid, k, t) + wanted - on_grid for t in range(STEPS)] for k in range(SAMPLES)])
        tracks = samples.tracks[view, :, :, 0]
        assert np.allclose(tracks, expected, atol=1e-3)
        assert np.allclose(tracks[:, 0], wanted, atol=1e-4), "step 0 is the point itself"
        assert np.allclose(summary.mean_track[view, :, 0], expected.mean(axis=0), atol=1e-3)
        assert np.allclose(summary.medoid_track[view, :, 0], expected[made.medoid[view]], atol=1e-3)
        assert np.allclose(summary.spread[view, :, 0], spread(expected, mean_track(expected)), atol=1e-3)


def test_a_chosen_grid_point_has_that_grid_points_values():
    visibility = np.random.default_rng(0).random((2, SAMPLES, STEPS, ROWS, COLUMNS)).astype(np.float32)
    made = forecast(visibility)
    height, width = SIZES[0]
    x, y = GRIDS[0][4, 5]
    samples = reduce_samples(made, SIZES, Reduction(points=((x / width, y / height),)))

    assert np.allclose(samples.tracks[0, :, :, 0, 0], made.tracks[0, :, :, 4, 5], atol=1e-4)
    assert np.allclose(samples.visibility[0, :, :, 0, 0], visibility[0, :, :, 4, 5], atol=1e-4)


def test_points_take_the_place_of_the_strided_grid():
    points = ((0.5, 0.5), (0.25, 0.1))
    made = forecast()
    both = reduce_samples(made, SIZES, Reduction(stride=2, points=points))

    assert np.array_equal(both.tracks, reduce_samples(made, SIZES, Reduction(points=points)).tracks)


def test_points_are_read_from_text():
    assert parse_points("") == ()
    assert parse_points(" 0.5,0.25  1,0\n.1,.2 ") == ((0.5, 0.25), (1.0, 0.0), (0.1, 0.2))


@pytest.mark.parametrize("text", ["0.5", "0.5,", "0.5,0.5,0.5", "a,b", "nan,0", "0,inf", "0.5, 0.5"])
def test_text_that_is_no_points_is_refused(text):
    with pytest.raises(ValueError, match="expected points like"):
        parse_points(text)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"stride": 0}, "stride is 0"),
        ({"max_samples": -1}, "is -1"),
        ({"points": ((0.5, 1.1),)}, "0.5,1.1 lies outside"),
        ({"points": ((-0.1, 0.5),)}, "outside"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        Reduction(**wrong)
