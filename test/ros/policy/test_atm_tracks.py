"""ATM's policy tensor from forecasts, with values computed by hand."""

import numpy as np
import pytest

from trajforecast_model.tracks.grid import query_points
from trajforecast_ros.messages import SummaryArrays, TrackArrays
from trajforecast_ros.policy.atm_tracks import POINTS, QUERY_POINTS, atm_tracks
from trajforecast_ros.reduction import parse_points

SIZES = ((100, 200), (64, 64))  # height, width of side and effector
SPEEDS = (0.0, 1.0, 3.0)  # pixels a step to the right, of each sample; the middle one is the medoid


def moving_right(start: np.ndarray, speed: float) -> np.ndarray:
    """[..., 2] -> [16, ..., 2]"""
    steps = np.arange(16).reshape(-1, *[1] * start.ndim)
    return (start + steps * np.array([speed, 0.0])).astype(np.float32)


def tracks(views=("side", "effector"), starts=None) -> TrackArrays:
    starts = starts or [query_points((10, 20), size) for size in SIZES]
    samples = np.stack([[moving_right(start, speed) for speed in SPEEDS] for start in starts])
    return TrackArrays(views, stamp=1.0, stamps=(1.0, 1.0), dt=0.05, image_sizes=SIZES, tracks=samples, visibility=None)


def test_the_points_are_those_of_atm():
    assert POINTS.shape == (32, 2)
    # linspace(0.05, 0.85, 4) = 0.05, 0.3167, 0.5833, 0.85; x is the outer loop.
    third = 0.8 / 3
    np.testing.assert_allclose(POINTS[:5], [[0.05, 0.05 + i * third] for i in range(4)] + [[0.05 + third, 0.05]])
    np.testing.assert_allclose(POINTS[[15, 16, 31]], [[0.85, 0.85], [0.15, 0.15], [0.95, 0.95]])


def test_step_zero_holds_the_points_and_later_steps_their_relative_motion():
    tensor = atm_tracks(tracks(), 2)

    assert tensor.shape == (2, 16, 32, 2) and tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[:, 0], [POINTS, POINTS], atol=1e-6)
    # 3 pixels a step: 3/200 of the side image's width, 3/64 of the effector's; nothing downwards.
    np.testing.assert_allclose(tensor[0, 10, 0], [0.05 + 10 * 3 / 200, 0.05], atol=1e-6)
    np.testing.assert_allclose(tensor[1, 15, 31], [0.95 + 15 * 3 / 64, 0.95], atol=1e-6)


@pytest.mark.parametrize(("future", "speed"), [("medoid", 1.0), ("mean", 4 / 3), (0, 0.0), (np.int64(2), 3.0)])
def test_the_future_is_the_one_asked_for(future, speed):
    np.testing.assert_allclose(atm_tracks(tracks(), future)[0, 15, :, 0], POINTS[:, 0] + 15 * speed / 200, atol=1e-6)


@pytest.mark.parametrize(("future", "speed"), [("medoid", 2.0), ("mean", 1.0)])
def test_of_a_summary(future, speed):
    mean, central = (
        np.stack([moving_right(query_points((10, 20), size), speed) for size in SIZES]) for speed in (1.0, 2.0)
    )
    summary = SummaryArrays(
        ("side", "effector"), 1.0, (1.0, 1.0), 0.05, SIZES, mean_t=mean, min=central, min_index=np.zeros(2), spread=None
    )

    np.testing.assert_allclose(
        atm_tracks(summary, future)[1, 8, :, 0] - POINTS[:, 0], 8 * speed / 64, rtol=1e-4, atol=1e-6
    )


def test_views_are_in_atms_order_whatever_the_messages():
    swapped = tracks(views=("effector", "side"))
    np.testing.assert_allclose(atm_tracks(swapped, 2)[1, 1, 0], [0.05 + 3 / 200, 0.05], atol=1e-6)


def test_published_query_points_do_as_well_as_the_grid():
    chosen = np.array(parse_points(QUERY_POINTS))
    # In another order, as a row of points.
    starts = [chosen[None, ::-1] * (width, height) for height, width in SIZES]

    np.testing.assert_allclose(atm_tracks(tracks(starts=starts)), atm_tracks(tracks()), atol=1e-5)


@pytest.mark.parametrize(
    ("arrays", "future", "complaint"),
    [
        (tracks(views=("side", "wrist")), 0, "effector"),
        (tracks(), 3, "from 0 to 2"),
        (tracks(), "best", "best"),
        (tracks(starts=[np.full((1, 32, 2), 20.0)] * 2), 0, "query_points"),
        (TrackArrays(("side", "effector"), 0.0, (0.0, 0.0), 0.05, SIZES, tracks().tracks[:, :, :12], None), 0, "12"),
    ],
)
def test_what_cannot_be_had_is_refused(arrays, future, complaint):
    with pytest.raises(ValueError, match=complaint):
        atm_tracks(arrays, future)
