import numpy as np
import pytest

from trajforecast_model.tracks.extrapolation import constant_velocity, last_motion_repeated

NOW = np.array([[[10.0, 20.0], [30.0, 20.0]]], np.float32)  # one row of two points


def past(*offsets: tuple[float, float]) -> np.ndarray:
    """Both points at these offsets from now, oldest first: [n, 1, 2, 2]."""
    return np.stack([NOW + np.float32(offset) for offset in offsets])


def moved(tracks: np.ndarray, point: int = 0) -> list[list[float]]:
    return (tracks[:, 0, point] - NOW[0, point]).tolist()


def all_visible(history: np.ndarray) -> np.ndarray:
    return np.ones(history.shape[:-1], bool)


def test_constant_velocity_goes_on_as_between_the_last_two_frames():
    history = past((-50, 7), (-2, 1))
    assert moved(constant_velocity(NOW, history, all_visible(history), 4)) == [[0, 0], [2, -1], [4, -2], [6, -3]]


def test_a_decaying_velocity_is_less_from_the_first_step_on():
    history = past((-8, 0))
    decayed = constant_velocity(NOW, history, all_visible(history), 4, decay=0.5)
    assert moved(decayed) == [[0, 0], [4, 0], [6, 0], [7, 0]]


def test_the_last_motion_is_replayed_in_its_order_and_again_where_the_horizon_is_longer():
    history = past((-7, 0), (-6, 0), (-4, 3))  # steps of (1, 0), (2, 3) and (4, -3)
    repeated = last_motion_repeated(NOW, history, all_visible(history), 6)
    assert moved(repeated) == [[0, 0], [1, 0], [3, 3], [7, 0], [8, 0], [10, 3]]
    # A horizon of two steps takes the last two of them.
    assert moved(last_motion_repeated(NOW, history, all_visible(history), 3)) == [[0, 0], [2, 3], [6, 0]]


def test_only_frames_without_a_gap_before_now_are_replayed():
    history = past((-7, 0), (-6, 0), (-4, 3))
    visible = all_visible(history)
    visible[1, 0, 0] = False
    repeated = last_motion_repeated(NOW, history, visible, 4)
    assert moved(repeated) == [[0, 0], [4, -3], [8, -6], [12, -9]]
    assert moved(repeated, point=1) == [[0, 0], [1, 0], [3, 3], [7, 0]]


@pytest.mark.parametrize("extrapolate", [constant_velocity, last_motion_repeated])
def test_a_point_without_a_visible_last_position_stays_still(extrapolate):
    history = past((-9, 9), (-4, 3))
    visible = all_visible(history)
    visible[-1, 0, 0] = False
    forecast = extrapolate(NOW, np.where(visible[..., None], history, np.nan), visible, 3)
    assert moved(forecast) == [[0, 0]] * 3
    assert moved(forecast, point=1)[1] != [0, 0]
    assert forecast.dtype == np.float32
    nothing = extrapolate(NOW, history[:0], visible[:0], 3)
    assert (nothing == NOW).all() and nothing.shape == (3, 1, 2, 2)


@pytest.mark.parametrize("extrapolate", [constant_velocity, last_motion_repeated])
def test_shapes_that_do_not_belong_together_are_refused(extrapolate):
    with pytest.raises(ValueError, match="expected points"):
        extrapolate(NOW, past((1, 1))[:, :, :1], np.ones((1, 1, 1), bool), 3)
    with pytest.raises(ValueError, match="expected points"):
        extrapolate(NOW, past((1, 1)), np.ones((1, 1, 2)), 3)
