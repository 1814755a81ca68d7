import pytest

from trajforecast_ros.forecast.pairing import Frame, Pairing

VIEWS = ["side", "effector"]


class PairingInOneTime(Pairing):
    """The clock of the stamps and that of the arrivals show the same."""

    def take(self, now: float):
        return super().take(now, round(now * 1e9))

    def warnings(self, now: float):
        return super().warnings(now, round(now * 1e9))


def pairing(max_skew: float = 0.05, max_age: float = 0.0, camera_timeout: float = 1.0) -> PairingInOneTime:
    return PairingInOneTime(VIEWS, max_skew, max_age, camera_timeout, now=0.0)


def frame(view: str, stamp: float, arrived: float | None = None) -> Frame:
    """stamp in seconds; `arrived` is the same unless given."""
    return Frame(view, f"{view} at {stamp}", round(stamp * 1e9), stamp if arrived is None else arrived)


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

    assert stamps(pair.take(5.1)) == {"side": 0.1, "effector": 0.05}


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
