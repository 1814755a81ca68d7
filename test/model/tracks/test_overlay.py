import numpy as np
import pytest

from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.lettering import draw_text, shorten, text_width
from trajforecast_model.tracks.overlay import OverlayStyle, compose_views, draw_forecast, time_colours

BLACK = np.zeros((96, 128, 3), np.uint8)
POINTS = query_points((48, 64), (96, 128))
STYLE = OverlayStyle(height=480)  # five pixels of the picture for each of the image
ROW = 24  # the row of query points that moves, at y = 49.5


def one_row_moves(pixels: float, k: int = 3) -> np.ndarray:
    """[k, 16, 48, 64, 2]: the points of ROW left of the middle move to the right, all else stays."""
    tracks = np.tile(POINTS, (k, 16, 1, 1, 1))
    tracks[:, :, ROW - 2 : ROW + 3, :8, 0] += np.linspace(0, pixels, 16)[None, :, None, None]
    return tracks


def draw(tracks: np.ndarray, image: np.ndarray = BLACK, style: OverlayStyle = STYLE) -> np.ndarray:
    return draw_forecast(image, tracks, tracks.mean(0), style)


def test_motion_is_drawn_where_it_happens_and_nowhere_else():
    tracks = one_row_moves(90)
    without_dots = OverlayStyle(height=480, still_opacity=0)
    picture = draw(tracks, style=without_dots)
    assert picture.shape == (480, 640, 3) and picture.dtype == np.uint8
    lit = picture.max(axis=2) > 40
    rows, columns = np.nonzero(lit)
    # y is 45.5 to 53.5 and x from 1.5 to 105.5 in the image.
    assert rows.min() > 5 * 45.5 - 8 and rows.max() < 5 * 53.5 + 8
    assert columns.max() == pytest.approx(5 * 105.5, abs=15)
    assert lit[5 * 49 - 10 : 5 * 49 + 10, 300].any()


def test_colour_tells_the_time():
    tracks = one_row_moves(90)
    picture = draw(tracks, style=OverlayStyle(height=480, still_opacity=0)).astype(int)
    colours = time_colours(16).astype(int)
    assert (np.diff(colours @ [2126, 7152, 722]) > 0).all()  # darkest now, brightest at the horizon

    def frame_of_colour_near(column: int) -> int:
        strip = picture[220:275, column - 3 : column + 3].reshape(-1, 3)
        brightest = strip[strip.sum(axis=1).argmax()]
        return int(np.abs(colours - brightest).sum(axis=1).argmin())

    assert frame_of_colour_near(530) == 15  # only heads are so far to the right
    assert frame_of_colour_near(15) <= 3
    assert frame_of_colour_near(15) < frame_of_colour_near(250) < 15


def test_still_scene_keeps_its_picture():
    image = np.full((96, 128, 3), 200, np.uint8)
    picture = draw(one_row_moves(1.0), image, OverlayStyle(height=480, brightness=1.0, still_opacity=0))
    assert (picture == 200).all()


def test_faster_points_are_thinned_out():
    tracks = np.tile(POINTS, (1, 16, 1, 1, 1))
    slow, fast = tracks.copy(), tracks.copy()
    slow[..., 0] += np.linspace(0, 3, 16)[None, :, None, None]
    fast[..., 0] += np.linspace(0, 100, 16)[None, :, None, None]
    starts = []
    for moving in (slow, fast):
        picture = draw(moving, style=OverlayStyle(height=480, still_opacity=0, sample_opacity=0))
        column_of_lines = picture.max(axis=(1, 2)) > 40
        starts.append(np.count_nonzero(np.diff(column_of_lines.astype(int)) == 1))
    assert starts[1] < starts[0]


@pytest.mark.parametrize("size", [(128, 128), (480, 640), (720, 1280), (1, 1), (2000, 3)])
def test_any_image_size(size):
    image = np.zeros((*size, 3), np.uint8)
    tracks = np.tile(query_points((8, 8), size), (2, 4, 1, 1, 1))
    tracks[:, 1:] += 0.3 * max(size)
    picture = draw(tracks, image, OverlayStyle(height=128))
    assert picture.shape == (128, max(1, round(128 * size[1] / size[0])), 3)


def test_points_far_outside_do_no_harm():
    tracks = one_row_moves(1e7)
    assert draw(tracks).max() > 40


@pytest.mark.parametrize(
    ("tracks_shape", "mean_shape"),
    [((3, 16, 4, 4, 2), (16, 4, 5, 2)), ((16, 4, 4, 2), (16, 4, 4, 2)), ((3, 16, 4, 4, 3), (16, 4, 4, 3))],
)
def test_wrong_shapes_are_refused(tracks_shape, mean_shape):
    with pytest.raises(ValueError, match="expected tracks"):
        draw_forecast(BLACK, np.zeros(tracks_shape), np.zeros(mean_shape))


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match="RGB uint8"):
        draw(one_row_moves(5), BLACK[..., 0])


def test_views_stand_beside_each_other_unchanged():
    red, green = np.zeros((200, 300, 3), np.uint8), np.zeros((100, 100, 3), np.uint8)
    red[..., 0], green[..., 1] = 255, 255
    figure = compose_views({"side": red, "effector": green}, "put the bowl on the plate")
    assert (figure == [255, 0, 0]).all(-1).sum() == 200 * 300
    assert (figure == [0, 255, 0]).all(-1).sum() == 200 * 200  # scaled to the same height
    longer = compose_views({"side": red, "effector": green}, "put the bowl on the plate " * 20)
    assert longer.shape == figure.shape
    assert not (compose_views({"side": red}, "a") == compose_views({"side": red}, "b")).all()
    with pytest.raises(ValueError, match="at least one view"):
        compose_views({})


def test_text_is_shortened_and_cut_at_the_border():
    assert shorten("short", 20, 200) == "short"
    cut = shorten("a rather long instruction for a robot", 20, 120)
    assert cut.endswith("…") and text_width(cut, 20) <= 120
    picture = np.zeros((20, 40, 3), np.uint8)
    draw_text(picture, "wider than the picture", (-5, 18), 20)
    draw_text(picture, "far outside", (500, 500), 20)
    assert picture.max() > 100
