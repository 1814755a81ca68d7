"""The thread that follows points for the forecasts to come."""

import threading
from functools import partial

import numpy as np
import pytest
from std_msgs.msg import Header
from waiting import LIMIT_SECONDS

from trajforecast_ros.forecast.history import following
from trajforecast_ros.forecast.history.following import MEASURED_IMAGES, Following
from trajforecast_ros.forecast.history.past_points import PastPoints
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.images import to_message

FRAMES, STEP = 3, 50_000_000  # nanoseconds
SCENE = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)


class Camera:
    """Its images are followed without a limit of time, unless a test says otherwise."""

    def __init__(self, budget: float = 0.0):
        self.warnings, self.warned = [], threading.Event()
        make_past = partial(PastPoints, FRAMES, 0.05, (16, 16), (64, 64))
        self.following = Following(["side"], make_past, (64, 64), "stretch", budget, self._note)
        self.shown = 0

    def _note(self, warning: str) -> None:
        self.warnings.append(warning)
        self.warned.set()

    def show(self, picture: np.ndarray = SCENE, stamped: bool = True, encoding: str = "rgb8") -> Frame:
        self.shown += 1
        message = to_message(picture, Header())
        message.encoding = encoding
        stamp, arrived = (self.shown * STEP, 0.0) if stamped else (0, self.shown * STEP / 1e9)
        frame = Frame("side", message, stamp, arrived)
        self.following.add_image(frame)
        return frame

    def steps_seen(self, frame: Frame) -> int:
        return int(self.following.history({"side": frame})["side"].visible.any(axis=(0, 2, 3)).sum())


@pytest.fixture
def camera():
    cameras = []

    def make(**options) -> Camera:
        cameras.append(Camera(**options))
        return cameras[-1]

    yield make
    for each in cameras:
        each.following.close()


@pytest.mark.parametrize("stamped", [True, False])
def test_an_image_has_the_past_that_came_before_it(camera, stamped):
    camera = camera()
    assert [camera.steps_seen(camera.show(stamped=stamped)) for _ in range(5)] == [0, 1, 2, 3, 3]


def test_pictures_of_another_size_or_fitted_otherwise_have_no_common_past(camera):
    camera = camera()
    for _ in range(4):
        camera.show()
    assert camera.steps_seen(camera.show(SCENE[:, :96])) == 0
    assert camera.steps_seen(camera.show(SCENE[:, :96])) == 1
    camera.following.image_fit = "crop"
    assert camera.steps_seen(camera.show(SCENE[:, :96])) == 0


def test_what_is_no_picture_leaves_a_step_without_one(camera):
    camera = camera()
    for _ in range(4):
        camera.show()
    camera.show(encoding="no such encoding")
    assert camera.steps_seen(camera.show()) == 2


def test_a_past_that_is_not_ready_in_time_is_left_out(camera, monkeypatch):
    camera = camera()
    go_on, to_rgb = threading.Event(), following.to_rgb
    for _ in range(3):
        frame = camera.show()
    assert camera.steps_seen(frame) == 2

    monkeypatch.setattr(following, "to_rgb", lambda message: go_on.wait(LIMIT_SECONDS) and to_rgb(message))
    frame = camera.show()
    camera.following.budget = 1.0
    assert not camera.following.history({"side": frame}, patience=1e-3)["side"].visible.any()
    camera.following.budget = 0.0
    go_on.set()
    assert camera.steps_seen(frame) == 3, "and goes on when it is"


def test_fewer_points_are_followed_where_all_of_them_take_longer_than_the_budget(camera):
    camera = camera(budget=1e-9)
    for _ in range(2):
        for _ in range(MEASURED_IMAGES):
            camera.show()
        assert camera.warned.wait(LIMIT_SECONDS)
        camera.warned.clear()
    for _ in range(MEASURED_IMAGES):
        frame = camera.show()
    camera.following.budget = 0.0
    assert camera.steps_seen(frame) == FRAMES
    assert [text.partition("; ")[2] for text in camera.warnings] == [
        "16 points are followed from now on, not 64",
        "4 points are followed from now on, not 16",
    ]
    assert "history_budget_ms" in camera.warnings[0]


def test_an_error_is_told_and_forgets_the_past_but_ends_nothing(camera, monkeypatch):
    camera = camera()
    for _ in range(3):
        frame = camera.show()
    assert camera.steps_seen(frame) == 2
    with monkeypatch.context() as patched:
        patched.setattr(PastPoints, "add", lambda past, time, gray: 1 / 0)
        assert [camera.steps_seen(camera.show()) for _ in range(2)] == [0, 0]
    [warning] = camera.warnings
    assert "ZeroDivisionError" in warning
    assert [camera.steps_seen(camera.show()) for _ in range(2)] == [0, 1]
