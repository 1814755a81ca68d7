"""How a baseline's own points become forecasts at the protocol's query points."""

import numpy as np
import pytest

from trajforecast_model.evaluation.forecasters.baselines import bilinear, check_grid, fixed_points
from trajforecast_model.tracks.grid import query_points


def test_fixed_points_are_every_nth_of_the_dense_ones():
    dense = np.tile(query_points((64, 64), (128, 128)), (3, 1, 1, 1))
    points = fixed_points(dense, (32, 32))
    assert points.shape == (3, 1024, 2)
    assert points[0, :2].tolist() == [[1.5, 1.5], [5.5, 1.5]] and points[0, 32].tolist() == [1.5, 5.5]


def test_a_linear_field_is_read_exactly_between_the_points():
    field = np.stack(np.meshgrid(np.arange(5.0), 10 * np.arange(4.0)), axis=-1)[None]  # (column, 10 * row)
    rows, columns = np.array([0.0, 1.5, 2.25]), np.array([0.0, 3.5, 4.0])
    assert bilinear(field, rows, columns)[0].tolist() == [[0, 0], [3.5, 15], [4, 22.5]]
    assert bilinear(field, np.array([3.5]), np.array([4.5]))[0].tolist() == [[4, 30]]  # beyond the last point


def test_grids_that_do_not_divide_are_refused():
    check_grid((32, 32), (64, 64))
    check_grid((32, 32), (32, 32))
    for grid in ((48, 48), (64, 32), (16, 16)):
        with pytest.raises(ValueError, match="not a multiple"):
            check_grid((32, 32), grid)
