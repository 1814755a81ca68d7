"""When a policy is asked, and what it does meanwhile; with one made up, whose actions tell which chunk they are of."""

from types import SimpleNamespace

import numpy as np
import pytest

from trajforecast_model.policy.checkpoint import ExecutionConfig
from trajforecast_model.policy.policy import Futures
from trajforecast_ros.policy.acting import Acting, Moment

STEP = 50_000_000  # nanoseconds
FUTURES = {"side": Futures(np.zeros(1), np.zeros(1), (1, 1))}


class MadeUp:
    """Its n-th chunk has actions n/10 + step/1000."""

    def __init__(self, tracks: bool):
        self.needs_tracks = tracks
        self.config = SimpleNamespace(execution=ExecutionConfig(every=4, blend=0.0), views=("side",), dt=0.05)
        self.asked: list[float] = []  # the first joint of each moment that it was asked at
        self.told = lambda futures: futures

    def chunk(self, images, joints, fingers, instruction, told) -> np.ndarray:
        self.asked.append(joints[0])
        return len(self.asked) / 10 + np.arange(8)[:, None] / 1000 + np.zeros(7)


def moment(step: int) -> Moment:
    return Moment(step * STEP, {}, np.full(7, float(step)), np.zeros(2))


def acting(tracks: bool = True, waits: bool = False) -> tuple[Acting, MadeUp]:
    policy = MadeUp(tracks)
    return Acting(policy, waits, max_age=0.2), policy


def test_without_tracks_it_is_asked_every_few_steps():
    arm, policy = acting(tracks=False)
    said = []
    for step in range(10, 19):
        arm.see(moment(step))
        said.append(arm.action("go")[0])
        assert arm.action("go") is None, "a moment is answered once"
    assert policy.asked == [10, 14, 18]
    np.testing.assert_allclose(said, [0.1, 0.101, 0.102, 0.103, 0.2, 0.201, 0.202, 0.203, 0.3])


def test_in_lockstep_a_due_forecast_is_waited_for():
    arm, policy = acting(waits=True)
    for step in range(6):
        arm.see(moment(step))
        if step % 4 == 0:
            assert arm.action("go") is None
            assert arm.hear(step * STEP, FUTURES) is None
        assert arm.action("go") is not None
        arm.hear(step * STEP, FUTURES)  # one for every image, of which most are not needed
    assert policy.asked == [0, 4]


def test_otherwise_the_chunk_before_goes_on_and_a_late_one_begins_where_its_images_were():
    arm, policy = acting()
    arm.see(moment(0))
    arm.hear(0, FUTURES)
    assert arm.action("go")[0] == pytest.approx(0.1)
    for step in range(1, 7):
        arm.see(moment(step))
        assert arm.action("go")[0] == pytest.approx(0.1 + step / 1000)
    arm.hear(4 * STEP, FUTURES)
    assert arm.action("go") is None, "this moment was answered"
    arm.see(moment(7))
    assert arm.action("go")[0] == pytest.approx(0.203)
    assert policy.asked == [0, 4]


def test_without_forecasts_the_chunk_ends_and_nothing_is_said():
    arm, _ = acting()
    arm.see(moment(0))
    assert arm.action("go") is None
    arm.hear(0, FUTURES)
    arm.action("go")
    arm.see(moment(8))
    assert arm.action("go") is None
    np.testing.assert_allclose(arm.hold(), [0, 0, 0, 0, 0, 0, 1], err_msg="what it holds it goes on holding")


def test_stale_and_unknown_forecasts_are_refused():
    arm, policy = acting()
    assert "before any images" in arm.hear(0, FUTURES)
    for step in range(6):
        arm.see(moment(step))
    assert "more than 0.2 s older" in arm.hear(0, FUTURES)
    assert "not seen" in arm.hear(3 * STEP + 1, FUTURES)
    assert "lacks the view side" in arm.hear(5 * STEP, {})
    assert arm.action("go") is None and not policy.asked


def test_an_older_stamp_begins_a_new_episode():
    arm, policy = acting(tracks=False)
    for step in (20, 21, 3):
        arm.see(moment(step))
        arm.action("go")
    assert policy.asked == [20, 3]


def test_a_forecast_that_the_policy_cannot_read_is_complained_of_once():
    arm, policy = acting()

    def refuse(_futures):
        raise ValueError("cells")

    policy.told = refuse
    arm.see(moment(0))
    arm.hear(0, FUTURES)
    with pytest.raises(ValueError, match="cells"):
        arm.action("go")
    assert arm.action("go") is None
