"""The hindsight score: hand-made forecasts against videos whose motion is known, and everything that can go wrong."""

import threading

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import Header
from waiting import LIMIT_SECONDS

from trajforecast_model.data.episode import Episode
from trajforecast_model.evaluation.metrics.errors import mean_error, mean_t, min_error, nothing_moves_error
from trajforecast_model.forecaster import Forecast
from trajforecast_model.tracks.grid import query_points, rescale
from trajforecast_model.tracks.motion import moving_points
from trajforecast_ros.forecast import observing
from trajforecast_ros.forecast.observing import Observer
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.forecast.parameters import ForecastParameters
from trajforecast_ros.forecast.thread import Job, Result
from trajforecast_ros.images import to_message, to_rgb
from trajforecast_ros.messages import Circumstances, Source
from trajforecast_ros.resources import shipped_episode

GRID, STEPS, DT = (16, 16), 16, 0.05
SIZE = (96, 128)
SPEED = np.array([2.0, 1.0])  # pixels a step
START = 100_000_000_000


def picture(step: float) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    large = cv2.resize(noise, (400, 320), interpolation=cv2.INTER_CUBIC)
    x, y = np.array([120, 100]) - step * SPEED
    move = np.array([[1, 0, x], [0, 1, y]])
    return cv2.warpAffine(large, move, SIZE[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def header(time: int) -> Header:
    return Header(stamp=Time(sec=time // 10**9, nanosec=time % 10**9), frame_id="camera")


def image(step: float, view: str = "side", pixels: np.ndarray | None = None, stamp: int | None = None) -> Frame:
    time = START + round(step * DT * 1e9)
    stamp = time if stamp is None else stamp
    message = to_message(picture(step) if pixels is None else pixels, header(stamp))
    return Frame(view, message, stamp, arrived=time / 1e9)


def truth(size: tuple[int, int] = SIZE) -> np.ndarray:
    return query_points(GRID, size) + np.arange(STEPS)[:, None, None, None] * SPEED.astype(np.float32)


def result(frames: list[Frame], samples: np.ndarray, size: tuple[int, int] = SIZE) -> Result:
    """samples [V, k, T, H, W, 2]"""
    views = tuple(frame.view for frame in frames)
    forecast = Forecast(
        views=views,
        tracks=samples.astype(np.float32),
        visibility=None,
        steps=1,
        seed=0,
        dt=DT,
    )
    sources = [Source(frame.view, frame.message.header, size[1], size[0]) for frame in frames]
    job = Job({frame.view: frame for frame in frames}, "go", samples.shape[1], 1, 0, ForecastParameters())
    return Result(job, {}, forecast, Circumstances(sources, "go", "model", 0.1))


class Scores:
    """An observer, and waiting for its scores without sleeping."""

    def __init__(self):
        self.errors, self._scores, self._came = [], [], threading.Condition()
        self.observer = Observer(self._take, self.errors.append)

    def _take(self, score) -> None:
        with self._came:
            self._scores.append(score)
            self._came.notify()

    def next(self):
        with self._came:
            assert self._came.wait_for(lambda: self._scores or self.errors, timeout=LIMIT_SECONDS), (
                self.observer.given_up
            )
            assert not self.errors, self.errors
            return self._scores.pop(0)

    def wait_until_looked_at(self) -> None:
        """The observer has nothing left to look at, so nothing that a test gives it is pushed out."""
        while self.observer.busy:
            threading.Event().wait(0.001)


@pytest.fixture
def scores():
    scores = Scores()
    yield scores
    scores.observer.close()
    assert not scores.errors


def show(scores: Scores, frames: list[Frame]) -> None:
    for frame in frames:
        scores.observer.add_image(frame)
        scores.wait_until_looked_at()


def test_the_truth_scores_nothing_and_known_errors_what_they_are(scores):
    first = image(0)
    wrong_by = np.array([0.0, 3.0, 6.0])  # pixels to the right, in every step but the first
    samples = np.stack([truth() for _ in wrong_by])
    samples[:, 1:, ..., 0] += wrong_by[:, None, None, None]
    show(scores, [first])
    scores.observer.add_forecast(result([first], samples[None]))
    show(scores, [image(step) for step in range(1, STEPS)])

    score = scores.next()
    [view] = score.views
    share = (STEPS - 1) / STEPS
    assert (score.header, score.num_samples, score.num_observed_steps) == (header(START), 3, STEPS)
    assert view.name == "side" and 40 < view.num_points < 256
    assert view.mean_t == pytest.approx(9 * share, rel=0.02)
    assert view.mean == pytest.approx((0 + 9 + 36) / 3 * share, rel=0.02)
    assert view.min == pytest.approx(0, abs=0.02)
    assert view.nothing_moves == pytest.approx((np.arange(STEPS) ** 2).mean() * (SPEED**2).sum(), rel=0.02)


def test_a_forecast_that_comes_late_and_a_camera_at_another_rate(scores):
    """The forecast is made after half its horizon; images come at 30 Hz, between the steps."""
    frames = [image(step) for step in np.arange(0, STEPS + 1, 2 / 3)]
    show(scores, frames[:10])
    scores.observer.add_forecast(result([frames[0]], truth()[None, None]))
    show(scores, frames[10:])

    [view] = scores.next().views
    assert view.num_points > 40 and view.mean_t < 0.05


def test_both_views_are_scored_when_both_have_passed(scores):
    frames = {view: [image(step, view) for step in range(STEPS)] for view in ("side", "effector")}
    firsts = [frames["side"][0], frames["effector"][0]]
    show(scores, firsts)
    scores.observer.add_forecast(result(firsts, np.stack([truth()[None], truth()[None] + 2])))
    show(scores, frames["side"][1:] + frames["effector"][1:])

    side, effector = scores.next().views
    assert (side.name, effector.name) == ("side", "effector")
    assert side.mean_t < 0.05


def test_of_nothing_that_moves_the_number_of_points_is_zero_and_no_error_is_nan(scores):
    still = [image(step, pixels=picture(0)) for step in range(STEPS)]
    show(scores, still[:1])
    scores.observer.add_forecast(result(still[:1], truth()[None, None]))
    show(scores, still[1:])

    score = scores.next()
    [view] = score.views
    assert (score.num_samples, score.num_samples_made) == (1, 1)
    assert view.num_points == 0
    assert (view.mean_t, view.mean, view.min, view.nothing_moves) == (0, 0, 0, 0)


def test_larger_images_are_scored_in_their_own_pixels(scores):
    size = (4 * SIZE[0], 4 * SIZE[1])

    def large(step: float) -> Frame:
        return image(step, pixels=cv2.resize(picture(step), size[::-1], interpolation=cv2.INTER_CUBIC))

    show(scores, [large(0)])
    samples = rescale(truth(), SIZE, size)[None, None].copy()
    samples[:, :, 1:, ..., 0] += 8
    scores.observer.add_forecast(result([large(0)], samples, size))
    show(scores, [large(step) for step in range(1, STEPS)])

    [view] = scores.next().views
    assert view.mean_t == pytest.approx(64 * (STEPS - 1) / STEPS, rel=0.05)


def test_a_forecast_that_comes_when_all_is_long_over_is_scored_from_what_is_remembered(scores):
    """After more than two horizons, of two views."""
    frames = {view: [image(step, view) for step in range(3 * STEPS)] for view in ("side", "effector")}
    show(scores, frames["side"] + frames["effector"])
    scores.observer.add_forecast(result([frames["side"][0], frames["effector"][0]], np.stack([truth()[None]] * 2)))

    side, effector = scores.next().views
    assert side.mean_t < 0.05 and effector.mean_t < 0.05
    assert not scores.observer.given_up


def test_an_image_that_is_repeated_and_a_camera_without_stamps_beside_one_that_has_them(scores):
    side = [image(step) for step in range(STEPS)]
    effector = [image(step, "effector", stamp=0) for step in range(STEPS)]
    show(scores, [side[0], effector[0]])
    scores.observer.add_forecast(result([side[0], effector[0]], np.stack([truth()[None]] * 2)))
    show(scores, [*side[1:5], *side[4:], *effector[1:]])

    assert [view.name for view in scores.next().views] == ["side", "effector"]
    assert not scores.observer.given_up


def test_a_forecast_takes_its_turn_while_more_images_come_than_can_be_looked_at(scores, monkeypatch):
    seen, go_on = [], threading.Event()

    def slowly(message):
        seen.append(message)
        assert go_on.wait(LIMIT_SECONDS)
        return to_rgb(message)

    monkeypatch.setattr(observing, "to_rgb", slowly)
    frames = [image(step) for step in range(STEPS)]
    for frame in frames[:3]:
        scores.observer.add_image(frame)
    scores.observer.add_forecast(result(frames[:1], truth()[None, None]))
    begun, begin = [], observing.Observer._begin
    monkeypatch.setattr(observing.Observer, "_begin", lambda *given: begun.append(len(seen)) or begin(*given))
    go_on.set()
    for frame in frames[3:]:
        scores.wait_until_looked_at()
        scores.observer.add_image(frame)

    assert scores.next().views[0].mean_t < 0.05
    assert begun == [1], "right after its own image, with two others waiting"


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ([image(8, stamp=START - 10**9)], "the clock jumped"),
        ([image(8, pixels=picture(0)[:50])], "the image size changed"),
        ([image(14)], "a gap between images"),
        ([image(8, "effector"), image(40, "effector")], "a camera stopped"),
    ],
)
def test_trouble_gives_a_forecast_up_and_the_next_one_is_scored(scores, trouble, reason):
    show(scores, [image(0)])
    scores.observer.add_forecast(result([image(0)], truth()[None, None]))
    show(scores, [image(step) for step in range(1, 8)] + trouble)
    assert scores.observer.given_up == {reason: 1}

    again = [image(step) for step in range(100, 100 + STEPS)]
    for frame in again[:1]:
        show(scores, [frame])
    scores.observer.add_forecast(result(again[:1], truth()[None, None]))
    show(scores, again[1:])
    assert scores.next().header == again[0].message.header


def test_a_forecast_whose_image_was_not_seen_is_given_up(scores):
    scores.observer.add_forecast(result([image(0)], truth()[None, None]))
    scores.wait_until_looked_at()
    assert scores.observer.given_up == {"its image was not seen": 1}


def test_cameras_without_stamps_are_followed_by_arrival(scores):
    frames = [image(step, stamp=0) for step in range(STEPS)]
    show(scores, frames[:1])
    scores.observer.add_forecast(result(frames[:1], truth()[None, None]))
    show(scores, frames[1:])
    assert scores.next().views[0].mean_t < 0.05


def test_images_that_cannot_be_read_are_passed_over(scores):
    frames = [image(step) for step in range(STEPS)]
    broken = image(3.5)
    broken.message.encoding = "16UC1"
    show(scores, frames[:1])
    scores.observer.add_forecast(result(frames[:1], truth()[None, None]))
    show(scores, [*frames[1:4], broken, *frames[4:]])
    assert scores.next().views[0].mean_t < 0.05


@pytest.mark.parametrize("view", ["side", "effector"])
def test_it_agrees_with_the_exact_score_on_a_simulated_episode(scores, view):
    """The forecasts are too slow, by different amounts."""
    episode = Episode.load(shipped_episode())
    size = episode.frames[view].shape[1:3]
    observed, exact = [], []
    for begin in range(4, 112, 12):
        tracks, _ = episode.truth(view, begin)
        samples = np.stack([tracks[:1] + speed * (tracks - tracks[:1]) for speed in (0.0, 0.4, 0.8)])
        frames = [
            image(step, view, pixels=episode.frames[view][begin + step], stamp=START + round((begin + step) * 5e7))
            for step in range(STEPS)
        ]
        show(scores, frames[:1])
        scores.observer.add_forecast(result(frames[:1], samples[None], size))
        show(scores, frames[1:])
        [score] = scores.next().views
        moving = moving_points(rescale(tracks, size, (128, 128)))
        if score.num_points > 20 and moving.any():
            given, true = samples[:, :, moving], tracks[:, moving]
            observed.append([score.mean_t, score.mean, score.min, score.nothing_moves])
            exact.append(
                [mean_t(given, true), mean_error(given, true), min_error(given, true), nothing_moves_error(true)]
            )
    assert len(observed) >= 5
    observed, exact = np.mean(observed, axis=0), np.mean(exact, axis=0)
    still = exact[3]
    # MeanT, Mean and "nothing moves" relatively; Min, which is small, against the motion.
    assert observed[[0, 1, 3]] == pytest.approx(exact[[0, 1, 3]], rel=0.15), (observed, exact)
    assert observed[2] == pytest.approx(exact[2], abs=0.08 * still), (observed, exact)
