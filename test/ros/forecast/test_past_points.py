"""Where the grid's points were, in a video whose motion is known: at any rate, and only as far as it can be known."""

import cv2
import numpy as np
import pytest

from trajforecast_model.inference.past import followed_back
from trajforecast_model.tracks.grid import query_points
from trajforecast_ros.forecast.history.past_points import PastPoints

FRAMES, DT, GRID, SIZE = 6, 0.05, (64, 64), (128, 128)
MS = 1_000_000  # nanoseconds
START = 1_000 * MS
SPEED = 30.0  # pixels a second
INNER = np.s_[:, 16:48, 8:40]  # of [steps, rows, columns]: was in the picture all the time
QUERY = query_points(GRID, SIZE)
TEXTURE = cv2.resize(
    np.random.default_rng(0).integers(0, 255, (50, 70), dtype=np.uint8), (280, 200), interpolation=cv2.INTER_CUBIC
)


def picture(time: int) -> np.ndarray:
    """What a camera sees that looks at a picture which goes left, and up at half the speed."""
    moved = SPEED * (time - START) / 1e9
    place = np.float32([[1, 0, -20 - moved], [0, 1, -20 - moved / 2]])
    return cv2.warpAffine(TEXTURE, place, SIZE[::-1], flags=cv2.INTER_LINEAR)


def shown(times, past: PastPoints | None = None) -> PastPoints:
    past = past or PastPoints(FRAMES, DT, GRID, SIZE)
    for time in times:
        if past.order.is_due(time):
            past.add(time, picture(time))
    return past


def steps_seen(past: PastPoints, time: int) -> list[bool]:
    """Oldest first, of the last FRAMES steps."""
    return (past.history(time).visible[0][INNER].mean(axis=(1, 2)) > 0.9).tolist()


def every(milliseconds: float, until: int = 600) -> list[int]:
    return [START + round(index * milliseconds * MS) for index in range(int(until / milliseconds) + 1)]


@pytest.mark.parametrize("rate", [5, 20, 30, 60])
def test_whatever_the_cameras_rate_points_were_where_they_were_at_the_models_steps(rate):
    times = every(1000 / rate)
    tracks, visible = shown(times).history(times[-1])

    assert tracks.shape == (1, FRAMES, *GRID, 2) and visible.shape == (1, FRAMES, *GRID)
    age = DT * np.arange(FRAMES, 0, -1)[:, None, None]
    true = QUERY + SPEED * np.stack([age, age / 2], axis=-1)
    error = np.linalg.norm(tracks[0] - true, axis=-1)[INNER]
    seen = visible[0][INNER]
    has_image = np.ones(FRAMES, dtype=bool) if rate > 5 else np.array([False, False, True, False, False, False])
    assert seen[has_image].mean() > 0.95 and not seen[~has_image].any()
    assert error[seen].mean() < 0.2, "pixels"


def test_points_are_followed_as_well_as_if_the_grid_were_followed_back():
    times = every(50)
    before = np.stack([cv2.cvtColor(picture(time), cv2.COLOR_GRAY2RGB) for time in times[-FRAMES - 1 :]])
    back = followed_back(before[-1], before[:-1], GRID, SIZE)
    past = shown(times).history(times[-1])

    both = back.visible & past.visible
    assert both.mean() > 0.95 * back.visible.mean()
    assert np.linalg.norm(back.tracks - past.tracks, axis=-1)[both].mean() < 0.2


def test_a_past_that_fills_is_as_long_as_it_is():
    past, times = PastPoints(FRAMES, DT, GRID, SIZE), every(50)
    assert steps_seen(past, START) == [False] * FRAMES
    for count, time in enumerate(times):
        shown([time], past)
        seen = min(count, FRAMES)
        assert steps_seen(past, time) == [False] * (FRAMES - seen) + [True] * seen


@pytest.mark.parametrize(
    "jump", [-10_000 * MS, -300 * MS, 600 * MS], ids=["a bag loops", "the clock is set back", "a gap"]
)
def test_what_was_before_a_gap_or_a_jump_of_the_clock_is_forgotten(jump):
    times = every(50)
    past = shown(times)
    anew = [times[-1] + jump + index * 50 * MS for index in range(3)]
    past.add(anew[0], picture(times[0]))
    assert steps_seen(past, anew[0]) == [False] * FRAMES
    for time, shows in zip(anew[1:], times[1:], strict=False):
        past.add(time, picture(shows))
    assert steps_seen(past, anew[-1]) == [False] * (FRAMES - 2) + [True] * 2
    assert steps_seen(past, anew[-1] + 10_000 * MS) == [False] * FRAMES, (
        "of an image that was not seen nothing is known"
    )


def test_a_clock_that_is_set_back_by_a_little_is_noticed_at_the_second_image():
    times = every(50)
    past = shown(times)
    shown([time - 100 * MS for time in (times[-1], times[-1] + 50 * MS)], past)
    assert steps_seen(past, times[-1] - 50 * MS) == [False] * FRAMES


def test_an_image_that_comes_twice_or_was_overtaken_changes_nothing():
    times = every(50)
    past = shown(times)
    past.add(times[-1], picture(START))
    past.add(times[-2], picture(START))
    assert steps_seen(past, times[-1]) == [True] * FRAMES
    shown([times[-1] + 50 * MS], past)
    assert steps_seen(past, times[-1] + 50 * MS) == [True] * FRAMES


def test_a_step_without_an_image_is_masked_alone():
    times = every(50)
    past = shown([*times[:-4], *times[-2:]])  # two are lost
    seen = steps_seen(past, times[-1])
    assert seen == [True, True, True, False, False, True]


def test_points_that_are_lost_have_no_past_and_their_cells_begin_again():
    times = every(50)
    past = shown(times[:-2])
    for time in times[-2:]:
        covered = picture(time)
        covered[:, 64:] = 255 - covered[::-1, 64:]  # something else comes before the right half
        past.add(time, covered)
    visible = past.history(times[-1]).visible[0]
    left, right = visible[:, 16:48, 4:26], visible[:, 16:48, 40:60]
    assert left.mean() > 0.9
    assert right[-1].mean() > 0.9 > 0.3 > right[0].mean()


def test_grids_and_pictures_of_other_shapes():
    past = PastPoints(3, 0.1, (9, 14), (90, 160))
    for time in every(100, until=500):
        past.add(time, cv2.resize(picture(time), (160, 90)))
    tracks, visible = past.history(START + 500 * MS)
    assert tracks.shape == (1, 3, 9, 14, 2) and visible.mean() > 0.6
    assert np.isfinite(tracks).all()
