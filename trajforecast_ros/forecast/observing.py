"""The hindsight score: what a forecast said, against the motion that the cameras then showed.

A thread of its own follows the query points of one forecast at a time through the images that come, and when the
forecast's horizon has passed it has the paper's MeanT, Mean and Min. The next forecast that is made then takes its turn.
"""

import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from trajforecast_msgs.msg import ForecastScore, ViewScore

from trajforecast_model.evaluation.metrics.errors import mean_error, mean_t, min_error, nothing_moves_error
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import moving_points
from trajforecast_model.tracks.observed import ObservedPoints
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.forecast.thread import Result
from trajforecast_ros.images import ImageRefused, to_rgb

FILTER_SIZE = (128, 128)  # the image size that the protocol's filter of moving points is defined at
LARGEST_SIDE = 256  # images are followed at no more than this: enough for the grid, and cheap
WAITING_IMAGES = 16  # that the thread has not looked at; more push out the oldest
REMEMBERED_IMAGES = 90  # a camera: 3 s at 30 Hz, for forecasts that come when their images are long past
MAX_GAP = 4.0  # steps without an image after which a point's way in between is a guess
PATIENCE = 2.0  # horizons that a forecast may be under observation before it is given up


class Observer:
    """Scores forecasts. Its methods return at once and may be called from any thread.

    Args:
        publish: takes a finished score; called on the observer's thread.
        report_error: takes the traceback of what should not have happened; the forecast is given up.
    """

    def __init__(self, publish: Callable[[ForecastScore], None], report_error: Callable[[str], None]):
        self._publish = publish
        self._report_error = report_error
        self.given_up: Counter[str] = Counter()
        self._wake = threading.Condition()
        self._images: deque[Frame] = deque(maxlen=WAITING_IMAGES)
        self._forecast: Result | None = None  # the newest that nobody has looked at yet
        self._looking = False
        self._closing = False
        # From here on only the thread's.
        self._seen: dict[str, deque[_Sight]] = {}
        self._observation: _Observation | None = None
        self._thread = threading.Thread(target=self._work, name="observer", daemon=True)
        self._thread.start()

    def add_image(self, frame: Frame) -> None:
        with self._wake:
            self._images.append(frame)
            self._wake.notify()

    def add_forecast(self, result: Result) -> None:
        with self._wake:
            self._forecast = result
            self._wake.notify()

    @property
    def busy(self) -> bool:
        """Whether there is something that was not looked at yet."""
        with self._wake:
            return bool(self._images or self._forecast or self._looking)

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._wake:
                self._looking = False
                while not (self._closing or self._images or self._forecast):
                    self._wake.wait()
                if self._closing:
                    return
                self._looking = True
                image = result = None
                if self._forecast is None or self._waits_for_images_of(self._forecast):
                    image = self._images.popleft()
                else:
                    result, self._forecast = self._forecast, None
            try:
                if image is not None:
                    self._look(image)
                else:
                    self._begin(result)
            except Exception:
                self._give_up("an error")
                self._report_error(traceback.format_exc())

    def _waits_for_images_of(self, result: Result) -> bool:
        """Whether images that the forecast was made from were not looked at yet; they may also have been pushed out."""
        return any(image is frame for image in self._images for frame in result.job.frames.values())

    def _look(self, frame: Frame) -> None:
        try:
            sight = _Sight.of(frame)
        except ImageRefused:
            return  # the forecast thread says so
        seen = self._seen.setdefault(frame.view, deque(maxlen=REMEMBERED_IMAGES))
        if seen and sight.time == seen[-1].time:
            return  # the same image again
        if seen and (sight.time < seen[-1].time or sight.size != seen[-1].size):
            reason = "the clock jumped" if sight.time < seen[-1].time else "the image size changed"
            seen.clear()
            if self._observation is not None and frame.view in self._observation.views:
                self._give_up(reason)
        seen.append(sight)
        self._go_on(frame.view, sight)

    def _begin(self, result: Result) -> None:
        if self._observation is not None:
            return  # one at a time
        self._observation = observation = _Observation(result, self._seen)
        if not observation.views:
            self._give_up("its image was not seen")
        shown = [(view, sight) for view in observation.views for sight in self._seen[view]]
        for view, sight in sorted(shown, key=lambda one: observation.elapsed(*one)):
            self._go_on(view, sight)

    def _go_on(self, view: str, sight: "_Sight") -> None:
        if self._observation is None:
            return
        reason = self._observation.show(view, sight)
        if reason:
            self._give_up(reason)
        elif self._observation.finished:
            score = self._observation.score()
            self._observation = None
            self._publish(score)

    def _give_up(self, reason: str) -> None:
        if self._observation is not None:
            self.given_up[reason] += 1
        self._observation = None


@dataclass(frozen=True)
class _Sight:
    """One image as it is followed: small and grey."""

    time: int  # nanoseconds: the stamp, or the arrival where there is none
    size: tuple[int, int]  # height, width of the camera's image
    gray: np.ndarray  # uint8

    @classmethod
    def of(cls, frame: Frame) -> "_Sight":
        picture = to_rgb(frame.message)
        height, width = picture.shape[:2]
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        shrink = LARGEST_SIDE / max(height, width)
        if shrink < 1:
            small = (max(1, round(width * shrink)), max(1, round(height * shrink)))
            gray = cv2.resize(gray, small, interpolation=cv2.INTER_AREA)
        return cls(_time(frame), (height, width), gray)


class _Observation:
    """One forecast while its horizon passes.

    Args:
        seen: what each camera showed lately, the forecast's own images among it.
    """

    def __init__(self, result: Result, seen: dict[str, deque[_Sight]]):
        self._result = result
        self._step = result.forecast.dt * 1e9  # nanoseconds
        self._steps = result.forecast.tracks.shape[2]
        self._horizon = (self._steps - 1) * self._step
        self._followed: dict[str, _Followed] = {}
        self._starts: dict[str, int] = {}  # of each camera by its own clock: one may be stamped, the other not
        for index, view in enumerate(result.forecast.views):
            start = _time(result.job.frames[view])
            at_start = [sight for sight in seen.get(view, ()) if sight.time == start]
            if at_start:
                self._followed[view] = _Followed(result.forecast.tracks[index], at_start[0])
                self._starts[view] = start

    @property
    def views(self) -> list[str]:
        return list(self._followed)

    @property
    def finished(self) -> bool:
        # A stamp may be a hair before the last step: exact multiples of dt are rare in floating point.
        return all(followed.times[-1] >= self._horizon - 0.1 * self._step for followed in self._followed.values())

    def elapsed(self, view: str, sight: _Sight) -> int:
        """Nanoseconds from the forecast's image of a camera, or the first that is shown of another, to this one."""
        return sight.time - self._starts.setdefault(view, sight.time)

    def show(self, view: str, sight: _Sight) -> str | None:
        """Takes the next image of a camera; gives the reason when the forecast cannot be scored any more."""
        elapsed = self.elapsed(view, sight)
        if elapsed > PATIENCE * self._horizon:
            return "a camera stopped"
        followed = self._followed.get(view)
        if followed is None or elapsed <= followed.times[-1]:
            return None
        if followed.times[-1] >= self._horizon - 0.1 * self._step:
            return None  # this view is done and waits for the other
        if elapsed - followed.times[-1] > MAX_GAP * self._step:
            return "a gap between images"
        followed.go_on(sight)
        return None

    def score(self) -> ForecastScore:
        forecast, circumstances = self._result.forecast, self._result.circumstances
        moments = np.arange(self._steps) * self._step
        return ForecastScore(
            header=max((source.header for source in circumstances.sources), key=_stamp),
            instruction=circumstances.instruction,
            model_id=circumstances.model_id,
            num_samples=forecast.num_samples,
            num_samples_made=forecast.num_samples,
            num_steps=self._steps,
            dt=float(forecast.dt),
            num_observed_steps=self._steps,
            views=[
                _view_score(view, forecast.tracks[forecast.views.index(view)], *followed.at(moments), followed.size)
                for view, followed in self._followed.items()
            ],
        )


class _Followed:
    """The query points of one view on their way through its images.

    Args:
        samples: [k, T, H, W, 2], pixels of the camera's image; step 0 is where the points are.
    """

    def __init__(self, samples: np.ndarray, sight: _Sight):
        self.start, self.size = sight.time, sight.size
        self._small = sight.gray.shape
        points = samples[:, 0].mean(axis=0).reshape(-1, 2)
        self._tracker = ObservedPoints(sight.gray, rescale(points, self.size, self._small))
        self.times = [0.0]  # nanoseconds since the start

    def go_on(self, sight: _Sight) -> None:
        self._tracker.update(sight.gray)
        self.times.append(float(sight.time - self.start))

    def at(self, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the points were at moments [T], float [T, P, 2], straight on between two images; which to believe."""
        times, (positions, believed) = np.array(self.times), self._tracker.tracks()
        index = np.interp(moments, times, np.arange(len(times)))
        before = np.floor(index).astype(int)
        after = np.minimum(before + 1, len(times) - 1)
        share = (index - before)[:, None, None]
        tracks = (1 - share) * positions[before] + share * positions[after]
        return rescale(tracks, self._small, self.size), believed


def _view_score(
    view: str, samples: np.ndarray, truth: np.ndarray, found: np.ndarray, size: tuple[int, int]
) -> ViewScore:
    """samples [k, T, H, W, 2], truth [T, P, 2], found [P]; pixels of an image of `size`."""
    samples = samples.reshape(*samples.shape[:2], -1, 2)
    moving = moving_points(rescale(truth[:, None], size, FILTER_SIZE))[0]
    scored = moving & found
    if not scored.any():
        return ViewScore(name=view)  # num_points 0 says that there is nothing to tell
    samples, truth = samples[:, :, scored], truth[:, scored]
    return ViewScore(
        name=view,
        num_points=int(scored.sum()),
        mean_t=mean_t(samples, truth),
        mean=mean_error(samples, truth),
        min=min_error(samples, truth),
        nothing_moves=nothing_moves_error(truth),
    )


def _time(frame: Frame) -> int:
    return frame.stamp or round(frame.arrived * 1e9)


def _stamp(header) -> tuple[int, int]:
    return header.stamp.sec, header.stamp.nanosec
