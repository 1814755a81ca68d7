import cv2
import numpy as np
import pytest

from trajforecast_model.evaluation.reports.panels import BLUE, RED, Curve, Panel, draw_panels, write_png


def columns_and_rows(picture: np.ndarray, colour: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the picture has that very colour."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    rows, columns = np.nonzero((picture == wanted).all(axis=-1))
    return columns, rows


def drawn(tmp_path, *panels: Panel) -> np.ndarray:
    return cv2.imread(str(write_png(draw_panels(list(panels)), tmp_path / "figure.png")))[..., ::-1]


def test_a_larger_value_is_drawn_higher_and_the_largest_is_inside(tmp_path):
    low, high = Curve("low", [0, 1], [10, 10], BLUE, False), Curve("high", [0, 1], [100, 100], RED, False)
    picture = drawn(tmp_path, Panel("t", "x", "y", [low, high]))
    assert picture.shape == (420, 560, 3)
    middle = picture[:, 300:301]
    (_, low_rows), (_, high_rows) = (columns_and_rows(middle, colour) for colour in (BLUE, RED))
    assert low_rows.size and high_rows.size and high_rows.max() < low_rows.min()


def test_both_axes_begin_at_zero_and_hold_every_value_and_tick():
    curves = [Curve("c", [2, 5], [3, 4], BLUE), Curve("d", [1, 2], [7, 1], RED)]
    figure = draw_panels([Panel("t", "x", "y", curves, x_ticks=[1, 10])])
    [axes] = figure.axes
    assert axes.get_xlim()[0] == axes.get_ylim()[0] == 0
    assert axes.get_xlim()[1] >= 10 and axes.get_ylim()[1] >= 7
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[2, 3], [5, 4]], [[1, 7], [2, 1]]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["c", "d"]


def test_panels_stand_side_by_side(tmp_path):
    panel = Panel("t", "x", "y", [Curve("c", [0, 5], [1, 1], BLUE, False)])
    picture = drawn(tmp_path, panel, panel)
    assert picture.shape == (420, 1120, 3)
    columns, _ = columns_and_rows(picture, BLUE)
    assert columns.min() < 560 < columns.max()


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [Curve("c", [], [], BLUE)],
        [Curve("c", [0, 1], [0, np.nan], BLUE)],
        [Curve("c", [0, 1], [0, -1], BLUE)],
    ],
)
def test_what_cannot_be_drawn_is_refused(curves):
    with pytest.raises(ValueError, match="finite values"):
        draw_panels([Panel("t", "x", "y", curves)])


def test_all_zero_is_drawn(tmp_path):
    assert drawn(tmp_path, Panel("t", "x", "y", [Curve("c", [0], [0], BLUE)])).shape == (420, 560, 3)
