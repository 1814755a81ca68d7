import numpy as np
import pytest

from trajforecast_model.evaluation.reports.chart import COLOURS, Chart, Curve, draw_chart, round_ticks


def columns_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.flatnonzero((picture == colour).all(axis=-1).any(axis=0))


def rows_of(picture: np.ndarray, colour: tuple[int, int, int], column: int) -> np.ndarray:
    return np.flatnonzero((picture[:, column] == colour).all(axis=-1))


@pytest.mark.parametrize(
    ("end", "ticks"),
    [(0.75, [0, 0.2, 0.4, 0.6, 0.8]), (6, [0, 1, 2, 3, 4, 5, 6]), (119, [0, 20, 40, 60, 80, 100, 120]), (0, [0, 1])],
)
def test_ticks_are_round_and_reach_the_end(end, ticks):
    assert round_ticks(end) == pytest.approx(ticks)


def test_a_larger_value_is_drawn_higher_and_the_largest_is_inside():
    blue, red = COLOURS[:2]
    curves = [Curve("low", [0, 1], [10, 10], blue, False), Curve("high", [0, 1], [100, 100], red, False)]
    picture = draw_chart(Chart("t", "x", "y", curves), 560, 420)
    assert picture.shape == (420, 560, 3) and picture.dtype == np.uint8
    middle = 300  # the legend is below row 380
    low, high = (rows_of(picture[:380], colour, middle) for colour in (blue, red))
    assert low.size and high.size and high.max() < low.min()
    # From y = 348 for 0 to y = 44 for 100.
    assert high.mean() == pytest.approx(44, abs=1.5) and low.mean() == pytest.approx(348 - 30.4, abs=1.5)


def test_curves_end_where_their_values_do():
    picture = draw_chart(Chart("t", "x", "y", [Curve("c", [0, 5], [1, 1], COLOURS[0], False)], x_ticks=[0, 5, 10]))
    columns = columns_of(picture[:380], COLOURS[0])
    assert columns.min() == pytest.approx(64, abs=2) and columns.max() == pytest.approx(64 + 476 / 2, abs=2)


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [Curve("c", [], [], COLOURS[0])],
        [Curve("c", [0, 1], [0, np.nan], COLOURS[0])],
        [Curve("c", [0, 1], [0, -1], COLOURS[0])],
    ],
)
def test_what_cannot_be_drawn_is_refused(curves):
    with pytest.raises(ValueError, match="finite values"):
        draw_chart(Chart("t", "x", "y", curves))


def test_all_zero_is_drawn():
    assert draw_chart(Chart("t", "x", "y", [Curve("c", [0], [0], COLOURS[0])])).shape == (420, 560, 3)
