"""Where the points of a model that forecasts from the past alone were, in a video whose motion is known."""

import numpy as np
import pytest
from test_past_points import DT, FRAMES, MS, SIZE, SPEED, START, every, picture

from trajforecast_model.tracks.grid import query_points
from trajforecast_ros.forecast.history.past_pictures import PastPictures

POINTS = query_points((8, 8), SIZE)
INNER = np.s_[:, 2:6, 2:5]  # of [steps, rows, columns]: was in the picture all the time
STEPS = DT * np.arange(-FRAMES, 1)[:, None, None]  # seconds


def shown(times, from_first: bool = False) -> PastPictures:
    past = PastPictures(FRAMES, DT, POINTS, from_first)
    for time in times:
        if past.order.is_due(time):
            past.add(time, picture(time))
    return past


@pytest.mark.parametrize("from_first", [False, True])
@pytest.mark.parametrize("rate", [8, 20, 30, 60])
def test_whatever_the_cameras_rate_points_were_where_they_were_at_the_models_steps(rate, from_first):
    times = every(1000 / rate)
    past = shown(times, from_first)
    times = [time for time in times if time <= past._pictures[-1].time]  # of the last that was due
    tracks, visible = past.history(times[-1])
    assert tracks.shape == (1, FRAMES + 1, 8, 8, 2) and visible.shape == (1, FRAMES + 1, 8, 8)
    since = STEPS - STEPS[0] if from_first else STEPS
    error = np.linalg.norm(tracks[0] - (POINTS - SPEED * np.stack([since, since / 2], axis=-1)), axis=-1)[INNER]
    seen = visible[0][INNER]
    assert seen.mean() > 0.95 and error[seen].mean() < 0.3, "pixels"
    np.testing.assert_allclose(tracks[0, 0 if from_first else -1], POINTS, atol=1e-4)


def test_there_is_none_until_the_pictures_reach_back_to_the_first_step():
    past, times = PastPictures(FRAMES, DT, POINTS, from_first=False), every(50)
    steps = []
    for time in times[: FRAMES + 3]:
        assert past.history(time) is None, "its own image has not come"
        past.add(time, picture(time))
        steps.append((past.order.steps, past.history(time) is not None))
    assert steps == [(step, step >= FRAMES) for step in range(FRAMES + 3)]


def test_an_image_that_is_not_the_newest_any_more_has_its_past_too():
    times = every(50)
    past = shown(times)
    assert past.history(times[-3]) is not None
    earlier, later = past.history(times[-2]).tracks, past.history(times[-1]).tracks
    np.testing.assert_allclose(earlier[0, -1], later[0, -1])
    assert past.history(times[-1] + 60 * MS) is None


def test_the_past_begins_anew_after_a_gap_and_when_the_clock_has_jumped_back():
    times = every(50)
    past = shown(times)
    late = times[-1] + 251 * MS
    past.add(late, picture(times[-1]))
    assert past.order.steps == 0 and past.history(late) is None
    past = shown(times)
    past.add(START - 1000 * MS, picture(START))
    assert past.order.steps == 0


def test_one_image_that_was_overtaken_and_one_that_comes_again_are_left_out():
    times = every(50)
    past = shown(times)
    before = past.history(times[-1])
    past.add(times[-1] - 30 * MS, picture(START))
    past.add(times[-1], picture(START))
    after = past.history(times[-1])
    assert past.order.steps == len(times) - 1 and np.array_equal(before.tracks, after.tracks)


def test_no_more_pictures_are_kept_than_the_past_needs():
    times = every(50, until=3000)
    assert len(shown(times)._pictures) <= FRAMES + 4
    assert shown(times).coarser() is None
