import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trajforecast_model.forecaster import Forecast
from trajforecast_ros.forecast.fitting import Fitted, fit, to_source_pixels

lengths = st.integers(1, 70)
sizes = st.sampled_from([(128, 128), (96, 128), (224, 126), (1, 3)])


def numbered(height: int, width: int) -> np.ndarray:
    """Each pixel holds its own column and row, so that a picture tells where it was cut from."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[..., 0] = np.arange(width)
    picture[..., 1] = np.arange(height)[:, None]
    return picture


def forecast(tracks: np.ndarray, views: tuple[str, ...]) -> Forecast:
    """tracks: [V, k, T, H, W, 2]"""
    return Forecast(
        views=views,
        tracks=tracks,
        visibility=None,
        steps=1,
        seed=0,
        dt=0.05,
    )


@given(height=lengths, width=lengths, size=sizes)
@example(height=1, width=70, size=(128, 128))
@example(height=70, width=1, size=(128, 128))
def test_a_crop_is_the_largest_centred_window_of_the_networks_aspect(height, width, size):
    fitted = fit(numbered(height, width), "crop", size)
    kept_height, kept_width = fitted.picture.shape[:2]
    x, y = fitted.corner

    assert kept_height == height or kept_width == width
    aspect = size[1] / size[0]
    best_width, best_height = max(1, kept_height * aspect), max(1, kept_width / aspect)
    assert abs(kept_width - best_width) <= 0.5 or abs(kept_height - best_height) <= 0.5
    assert 0 <= (width - kept_width) - 2 * x <= 1
    assert 0 <= (height - kept_height) - 2 * y <= 1


@given(height=lengths, width=lengths, size=sizes, how=st.sampled_from(["stretch", "crop"]), data=st.data())
def test_a_point_of_the_fitted_picture_comes_back_to_its_pixel(height, width, size, how, data):
    whole = numbered(height, width)
    fitted = fit(whole, how, size)
    row = data.draw(st.integers(0, fitted.picture.shape[0] - 1))
    column = data.draw(st.integers(0, fitted.picture.shape[1] - 1))
    centre = np.array([column + 0.5, row + 0.5], dtype=np.float32)
    tracks = np.broadcast_to(centre, (1, 2, 3, 1, 1, 2))

    mapped = to_source_pixels(forecast(tracks, ("side",)), {"side": fitted})

    x, y = mapped.tracks[0, 1, 2, 0, 0]
    assert (whole[int(y), int(x)] == fitted.picture[row, column]).all()
    assert (x % 1, y % 1) == (0.5, 0.5)
    assert np.array_equal(mapped.mean_track, mapped.tracks[:, 0])


def test_a_wide_picture_loses_its_sides():
    fitted = fit(numbered(48, 64), "crop", (128, 128))

    assert fitted.picture.shape == (48, 48, 3)
    assert fitted.corner == (8, 0)
    assert fitted.picture[0, 0].tolist() == [8, 0, 0]


def test_each_view_has_a_corner_of_its_own():
    tracks = np.zeros((2, 1, 2, 1, 1, 2), dtype=np.float32)
    fitted = {"effector": Fitted(numbered(1, 1), (0, 3)), "side": Fitted(numbered(1, 1), (5, 0))}

    mapped = to_source_pixels(forecast(tracks, ("side", "effector")), fitted)

    assert mapped.tracks[:, 0, 0, 0, 0].tolist() == [[5, 0], [0, 3]]
    assert mapped.tracks.dtype == np.float32


def test_another_way_to_fit_is_refused():
    with pytest.raises(ValueError, match=r"'pad'.*stretch, crop"):
        fit(numbered(4, 4), "pad", (128, 128))
