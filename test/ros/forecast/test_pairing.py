import itertools

import numpy as np
import pytest

from trajforecast_ros.forecast.pairing import Frame, Pairing

VIEWS = ["side", "effector"]


class PairingInOneTime(Pairing):
    """The clock of the stamps and that of the arrivals show the same."""

    def take(self, now: float):
        return super().take(now, round(now * 1e9))

    def warnings(self, now: float):
        return super().warnings(now, round(now * 1e9))


def pairing(
    max_skew: float = 0.05, max_age: float = 0.0, camera_timeout: float = 1.0, views=VIEWS, history: float = 0.5
) -> PairingInOneTime:
    return PairingInOneTime(views, max_skew, max_age, camera_timeout, now=0.0, history=history)


def frame(view: str, stamp: float, arrived: float | None = None) -> Frame:
    """stamp in seconds; `arrived` is the same unless given."""
    return Frame(view, f"{view} at {stamp}", round(stamp * 1e9), stamp if arrived is None else arrived)


def camera(
    view: str, rate: float, seconds: float = 10.0, first: float = 0.0, late=0.0, clock: float = 0.0
) -> list[Frame]:
    """A camera's images; `late`: seconds from the picture to its arrival, or what gives them for its number."""
    moments = [0.5 + first + i / rate for i in range(round(seconds * rate))]
    delays = [late(i) if callable(late) else late for i in range(len(moments))]
    return [frame(view, moment + clock, moment + delay) for moment, delay in zip(moments, delays, strict=True)]


def play(pair: Pairing, *cameras: list[Frame], every: float = 0.0) -> list[dict[str, float]]:
    """What is taken as the images come, at every arrival or, by a thread that is busy between, every so many seconds."""
    taken, free = [], 0.0
    for image in sorted((image for images in cameras for image in images), key=lambda image: image.arrived):
        pair.add(image)
        if image.arrived >= free and (frames := pair.take(image.arrived)):
            taken.append(stamps(frames))
            free = image.arrived + every
    return taken


def apart(frames: dict[str, float]) -> float:
    return round(max(frames.values()) - min(frames.values()), 6)


def stamps(frames: dict[str, Frame] | None) -> dict[str, float] | None:
    return None if frames is None else {view: frame.stamp / 1e9 for view, frame in frames.items()}


def test_a_pair_is_given_once():
    pair = pairing()
    pair.add(frame("side", 0.1))
    assert pair.take(0.1) is None
    pair.add(frame("effector", 0.12))

    assert stamps(pair.take(0.12)) == {"side": 0.1, "effector": 0.12}
    assert pair.take(0.13) is None


def test_the_newest_pair_wins_and_the_others_are_counted():
    pair = pairing()
    for i in range(1, 6):
        for view in VIEWS:
            pair.add(frame(view, 0.1 * i))

    assert stamps(pair.take(0.5)) == {"side": 0.5, "effector": 0.5}
    assert pair.dropped == {"superseded": 8}


def test_images_too_far_apart_are_no_pair_and_the_older_goes():
    pair = pairing()
    pair.add(frame("side", 0.1))
    pair.add(frame("effector", 0.3))
    assert pair.take(0.3) is None
    pair.add(frame("side", 0.31))

    assert stamps(pair.take(0.31)) == {"side": 0.31, "effector": 0.3}
    assert pair.dropped == {"skew": 1}


def test_one_camera_goes_on_alone_after_the_timeout_and_that_is_said_once():
    pair = pairing()
    pair.add(frame("side", 0.5))
    assert pair.take(0.9) is None
    assert [change.view for change in pair.changes(0.9)] == ["side"]
    pair.add(frame("side", 1.2))

    [missing] = pair.changes(1.2)
    assert (missing.view, missing.present) == ("effector", False)
    assert "effector" in missing.text and "side alone" in missing.text
    assert stamps(pair.take(1.2)) == {"side": 1.2}
    pair.add(frame("side", 1.3))
    assert pair.changes(1.3) == []
    assert stamps(pair.take(1.3)) == {"side": 1.3}


def test_a_camera_that_comes_back_is_said_once_and_waited_for_again():
    pair = pairing()
    pair.add(frame("side", 1.5))
    pair.changes(1.5)
    pair.take(1.5)
    pair.add(frame("effector", 1.6))

    [back] = pair.changes(1.6)
    assert (back.view, back.present) == ("effector", True) and "back" in back.text
    assert pair.take(1.6) is None
    pair.add(frame("side", 1.61))
    assert stamps(pair.take(1.61)) == {"side": 1.61, "effector": 1.6}
    assert pair.changes(1.61) == []


def test_nothing_is_said_of_cameras_that_start_together():
    pair = pairing()
    assert pair.changes(0.5) == []
    for view in VIEWS:
        pair.add(frame(view, 0.6))

    assert all(change.present for change in pair.changes(0.6))
    assert pair.changes(0.7) == []


def test_no_camera_at_all():
    pair = pairing()

    assert [change.present for change in pair.changes(2.0)] == [False, False]
    assert pair.take(2.0) is None
    assert pair.newest(2.0) == {}


def test_a_looping_bag_costs_one_image():
    """Stamps jump back by 100 s, first in one camera."""
    pair = pairing()
    for view in VIEWS:
        pair.add(frame(view, 100.0, arrived=5.0))
    assert pair.take(5.0)
    pair.add(frame("side", 0.0001, arrived=5.05))
    assert pair.take(5.05) is None
    pair.add(frame("effector", 0.0001, arrived=5.06))

    assert stamps(pair.take(5.06)) == {"side": 0.0001, "effector": 0.0001}


def test_a_loop_seen_while_the_other_cameras_image_waits():
    pair = pairing()
    pair.add(frame("effector", 100.0, arrived=5.0))
    pair.add(frame("side", 0.05, arrived=5.05))
    assert pair.take(5.05) is None
    pair.add(frame("effector", 0.05, arrived=5.06))
    pair.add(frame("side", 0.1, arrived=5.1))

    assert stamps(pair.take(5.1)) == {"side": 0.05, "effector": 0.05}
    pair.add(frame("effector", 0.1, arrived=5.11))
    assert stamps(pair.take(5.11)) == {"side": 0.1, "effector": 0.1}


def test_cameras_that_do_not_stamp_are_paired_by_arrival():
    pair = pairing()
    pair.add(frame("side", 0.0, arrived=7.00))
    pair.add(frame("effector", 123.0, arrived=7.01))

    assert set(pair.take(7.01)) == set(VIEWS)


@pytest.mark.parametrize("offset", [3.0, -3.0])
def test_clocks_that_are_never_together_are_named_once(offset):
    pair = pairing()
    warnings = []
    for i in range(1, 60):
        now = 0.1 * i
        pair.add(frame("side", 10 + now, arrived=now))
        pair.add(frame("effector", 10 + now + offset, arrived=now))
        assert pair.take(now) is None
        warnings += pair.warnings(now)

    [warning] = warnings
    assert "3.000 s apart" in warning and "max_pair_skew" in warning


def test_a_pair_exactly_the_allowed_skew_apart_is_one():
    """0.1 + 0.05 is not 0.15 in floating point."""
    pair = pairing(max_skew=0.05)
    pair.add(frame("side", 0.1))
    pair.add(frame("effector", 0.15))

    assert pair.take(0.15)


def test_a_lost_image_now_and_then_is_no_reason_for_a_warning():
    pair = pairing()
    for i in range(1, 100):
        now = 0.1 * i
        pair.add(frame("side", now))
        if i % 3:
            pair.add(frame("effector", now))
        pair.take(now)
        assert pair.warnings(now) == []


def test_newest_is_there_for_one_shot_forecasts_used_or_not():
    pair = pairing()
    for view in VIEWS:
        pair.add(frame(view, 0.1))
    pair.take(0.1)

    assert set(pair.newest(0.2)) == set(VIEWS)
    assert pair.newest(5.0) == {}


def test_images_that_are_too_old_are_left_out_and_that_is_said_once():
    pair = pairing(max_age=0.5)
    warnings = []
    for i in range(1, 60):
        now = 0.1 * i
        for view in VIEWS:
            pair.add(frame(view, now + 10 - 0.6, arrived=now))
        assert Pairing.take(pair, now, round((now + 10) * 1e9)) is None
        warnings += Pairing.warnings(pair, now, round((now + 10) * 1e9))

    [warning] = warnings
    assert "0.600 s old" in warning and "max_image_age" in warning
    assert pair.dropped["too old"] == 2 * 59
    for view in VIEWS:
        pair.add(frame(view, 19.6, arrived=6.0))
    assert Pairing.take(pair, 6.0, round(20 * 1e9))


def test_a_stamp_from_the_future_or_none_is_not_too_old():
    pair = pairing(max_age=0.5)
    for view in VIEWS:
        pair.add(frame(view, 1000.0, arrived=1.0))
    assert pair.take(1.0)
    for view in VIEWS:
        pair.add(frame(view, 0.0, arrived=1.1))
    assert Pairing.take(pair, 1.1, round(50 * 1e9))


@pytest.mark.parametrize("every", [0.0, 0.25])
@pytest.mark.parametrize("max_skew", [0.05, 0.15])
@pytest.mark.parametrize("late", [0.05, 0.1, 0.2, 0.4])
def test_a_camera_that_is_late_is_paired_with_what_came_before(late, max_skew, every):
    taken = play(pairing(max_skew), camera("side", 30, late=late), camera("effector", 30), every=every)

    assert len(taken) > (290 if every == 0 else 30)
    assert {apart(frames) for frames in taken} == {0.0}


def test_images_that_overtake_each_other_find_their_partners():
    """Each takes 0 to 0.4 s, another every time; the ways of the two cameras have nothing in common."""
    delays = np.random.default_rng(0).uniform(0, 0.4, (2, 300))
    side, effector = (camera(view, 30, late=lambda i, d=d: d[i]) for view, d in zip(VIEWS, delays, strict=True))
    taken = play(pairing(), side, effector)

    assert len(taken) > 60
    assert all(apart(frames) <= 0.05 for frames in taken)
    assert all(later["side"] > earlier["side"] for earlier, later in itertools.pairwise(taken))


@pytest.mark.parametrize("late", [0.0, 0.1, 0.3])
def test_a_slow_camera_beside_a_fast_one(late):
    """5 and 60 Hz: every image of the slow one is forecast, with the closest of the fast one."""
    taken = play(pairing(), camera("side", 5, first=0.003, late=late), camera("effector", 60))

    assert len(taken) >= 48
    assert max(map(apart, taken)) < 1 / 60


def test_cameras_half_a_period_apart_are_each_others_closest():
    taken = play(pairing(), camera("side", 10), camera("effector", 10, first=0.05))

    assert len(taken) >= 99
    assert max(map(apart, taken)) <= 0.05


def test_three_cameras_one_of_them_late_and_one_slow():
    views = ["side", "effector", "head"]
    cameras = (camera("side", 30, late=0.2), camera("effector", 60, first=0.004), camera("head", 10, late=0.03))
    taken = play(pairing(views=views), *cameras)

    assert len(taken) >= 95
    assert all(frames.keys() == set(views) for frames in taken)
    assert max(map(apart, taken)) <= 0.035


def test_after_a_lost_image_the_others_find_their_partners_again():
    side, effector = camera("side", 30), camera("effector", 30, late=0.001)
    del effector[100]
    taken = play(pairing(), side, effector)

    assert len(taken) == 299
    assert {apart(frames) for frames in taken} == {0.0}


def test_an_image_that_comes_twice_does_not_shift_the_pairs():
    side = [image for image in camera("side", 30) for _ in range(2)]
    again = [frame(image.view, image.stamp / 1e9, image.arrived + 0.002 * (i % 2)) for i, image in enumerate(side)]
    taken = play(pairing(), again, camera("effector", 30, late=0.01))

    assert len(taken) >= 299
    assert {apart(frames) for frames in taken} == {0.0}


@pytest.mark.parametrize("late", [0.0, 0.2])
def test_after_a_pause_of_all_cameras_the_first_set_has_all(late):
    pair = pairing()
    before = play(pair, camera("side", 30, 1.0), camera("effector", 30, 1.0, late=late))
    pair.changes(8.0)
    after = play(pair, camera("side", 30, 1.0, first=9.0), camera("effector", 30, 1.0, first=9.0, late=late))

    assert len(before) == len(after) == 30
    assert all(frames.keys() == set(VIEWS) and apart(frames) == 0 for frames in after)


def test_a_camera_that_was_missing_before_the_pause_is_not_waited_for_after_it():
    pair = pairing()
    play(pair, camera("side", 30, 3.0), camera("effector", 30, 0.5))
    after = play(pair, camera("side", 30, 1.0, first=9.0))

    assert len(after) == 30


def test_what_waited_when_the_cameras_stopped_is_stale_when_they_come_back():
    pair = pairing()
    for view in VIEWS:
        pair.add(frame(view, 1.0))
    pair.add(frame("side", 9.0))

    assert pair.take(9.0) is None
    assert pair.dropped == {"stale after a pause": 2}


@pytest.mark.parametrize("late", [0.0, 0.1])
@pytest.mark.parametrize("jump", [-100.0, -1.0, 100.0])
def test_a_clock_that_jumps_costs_no_more_than_the_late_camera_is_late(jump, late):
    pair = pairing()
    before = [camera(view, 30, 2.0, late=late * (view == "side"), clock=200) for view in VIEWS]
    after = [camera(view, 30, 2.0, first=2.0, late=late * (view == "side"), clock=200 + jump) for view in VIEWS]
    taken = play(pair, *before, *after)

    assert len(taken) >= 120 - 2 - 2 * 30 * late
    assert {apart(frames) for frames in taken} == {0.0}
    assert taken[-1]["side"] > 204.4 + jump


def test_a_camera_whose_clock_goes_on_from_a_wrong_stamp():
    side, effector = camera("side", 30), camera("effector", 30)
    side[50] = frame("side", 1e6, side[50].arrived)
    taken = play(pairing(), side, effector)

    assert len(taken) == 299
    assert {apart(frames) for frames in taken} == {0.0}


@pytest.mark.parametrize("stamped", ["neither", "one of them"])
def test_cameras_without_stamps_go_by_arrival(stamped):
    unstamped = [frame("side", 0.0, image.arrived) for image in camera("side", 30)]
    effector = camera("effector", 30, first=0.01, clock=500.0)
    if stamped == "neither":
        effector = [frame("effector", 0.0, image.arrived) for image in effector]
    taken = play(pairing(), unstamped, effector)

    assert len(taken) >= 299


def test_every_image_is_given_or_dropped_for_a_reason_or_waits():
    pair = pairing()
    cameras = camera("side", 30, late=0.2), camera("effector", 60), camera("side", 30, first=20.0, clock=-5.0)
    taken = play(pair, *cameras, camera("effector", 60, first=20.0), every=0.1)

    assert pair.received == 1800 == 2 * len(taken) + sum(pair.dropped.values()) + pair.waiting
    assert set(pair.dropped) == {"superseded", "skew", "stale after a pause"}


def test_few_images_are_kept():
    """Of cameras in time one each; of one that is late as many as come meanwhile; never more than the history."""
    together, late, alone = pairing(), pairing(), pairing()
    for pair, cameras in (
        (together, [camera(view, 60, 2.0) for view in VIEWS]),
        (late, [camera("side", 60, 2.0, late=0.1), camera("effector", 60, 2.0)]),
        (alone, [camera("side", 60, 2.0)]),
    ):
        play(pair, *cameras, every=1e9)
    assert together.waiting == 2
    assert late.waiting <= 9
    assert alone.waiting <= 31


def test_a_call_is_given_images_that_fit_rather_than_the_newest_of_each():
    pair = pairing()
    play(pair, camera("side", 30, 2.0, late=0.1), camera("effector", 30, 2.1))
    newest = stamps(pair.newest(2.6))

    assert apart(newest) == 0.0 and newest["side"] > 2.4


def test_without_a_history_a_late_camera_has_no_partners_and_is_named():
    pair = pairing(history=0.0)
    assert not play(pair, camera("side", 30, late=0.2), camera("effector", 30, 11.0))
    [warning] = pair.warnings(11.0)
    assert "pair_history (0.0 s)" in warning
