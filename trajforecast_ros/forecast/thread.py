"""The thread that forecasts: it takes the newest pair of images, or a request, and hands on what the model says.

Callbacks of the executor only note images, instructions and settings here and return at once, so the executor stays
free to answer services and parameter requests while the networks run. Images that come meanwhile replace each other:
latency does not grow when the networks are slower than the cameras.

A call of ~/predict may want many solver steps. Between two of them the newest images have their forecast, so that the
stream goes on; and between two of them any forecast can be cut short.
"""

import random
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.task import Future
from trajforecast_msgs.srv import Predict

from trajforecast_model.forecaster import Forecast, Forecaster
from trajforecast_model.runtime.threads import Abandonable
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.history import History
from trajforecast_ros.forecast.fitting import Fitted, fit, to_source_pixels
from trajforecast_ros.forecast.history.following import LONGEST_WAIT, Following
from trajforecast_ros.forecast.history.past_pictures import PastPictures
from trajforecast_ros.forecast.history.past_points import PastPoints
from trajforecast_ros.forecast.pairing import CameraChange, Frame, Pairing
from trajforecast_ros.forecast.parameters import MAX_SAMPLES, MAX_SOLVER_STEPS, ForecastParameters
from trajforecast_ros.forecast.statistics import Standing, Statistics
from trajforecast_ros.forecast.usage import Usage
from trajforecast_ros.images import ImageRefused, to_rgb
from trajforecast_ros.messages import Circumstances, Source

# Seconds that Python leaves a thread waiting for another; its 5 ms let the executor first finish its round, half a
# millisecond, before the thread that it woke begins.
SWITCH_INTERVAL = 1e-4
# A node has to be gone 5 s after it was asked to: then ros2 launch sends the next signal.
PATIENCE_SECONDS = 0.5  # for the forecast that is under way
CUTTING_SECONDS = 1.5  # for the solver step that it is at, after which the thread is left behind


@dataclass(frozen=True)
class Job:
    """One forecast to make."""

    frames: dict[str, Frame]
    instruction: str
    num_samples: int
    solver_steps: int  # 0: the checkpoint's own
    seed: int
    settings: ForecastParameters  # as they were when it was asked for
    answer: Future | None = None  # of a ~/predict call, set to a Predict.Response


@dataclass(frozen=True)
class Result:
    """A forecast and what it was made from."""

    job: Job
    images: dict[str, np.ndarray]  # uint8 [height, width, 3] by view
    forecast: Forecast
    circumstances: Circumstances


class CutShort(Exception):
    """Nobody waits for this forecast any more."""


class _Shift:
    """What one thread works from start to stop, and whether it shall go on."""

    def __init__(self):
        self.stopping = False  # no new forecast is begun
        self.cut = False  # the one under way ends before its next solver step, and nothing comes of it


class ForecastThread:
    """Forecasts from `start` to `stop`; may be started again.

    Args:
        deliver: publishes a result and makes the answer to the call that asked for it; called on the thread.
        anybody_listens: whether a forecast would reach anyone; without listeners only requests are carried out.
        clock: nanoseconds of the clock that images are stamped with.
        wake_executor: makes the executor look at futures that were set here.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        settings: ForecastParameters,
        statistics: Statistics,
        logger: RcutilsLogger,
        deliver: Callable[[Result], Predict.Response],
        anybody_listens: Callable[[], bool],
        clock: Callable[[], int],
        wake_executor: Callable[[], None],
    ):
        self._forecaster = forecaster
        self._statistics = statistics
        self._logger = logger
        self._deliver = deliver
        self._anybody_listens = anybody_listens
        self._clock = clock
        self._wake_executor = wake_executor

        # Guards everything below, which callbacks and the thread share; notified when there may be something to do.
        self._wake = threading.Condition()
        self._settings = settings
        now = time.monotonic()
        self._pairing = Pairing(
            settings.views,
            settings.max_pair_skew,
            settings.max_image_age,
            settings.camera_timeout,
            now,
            settings.pair_history,
        )
        self._usage = Usage()
        self._requests: deque[Job] = deque()
        self._earliest_next = now
        self._judged_at = now  # the moment as of which cameras are judged silent
        self._shift: _Shift | None = None
        self._thread: Abandonable | None = None
        self._left_behind: Abandonable | None = None  # the last thread, where it could not be waited for
        self._call: Job | None = None  # of ~/predict, under way
        self._compiled_samples = {settings.num_samples}  # k that compiled networks are made for
        self._following: Following | None = None  # while the thread runs, of a model that takes a past
        self._refused: set[tuple[str, str]] = set()  # only the thread's
        self._failures_said: set[str] = set()  # since the last forecast, only the thread's
        # Seconds that publishing took lately, only the thread's: no forecast may use them.
        self._publishing_times: deque[float] = deque([0.0], maxlen=32)

    # On the executor's thread

    def start(self) -> None:
        now = time.monotonic()
        shift = _Shift()
        with self._wake:
            self._pairing.begin(now)
            self._judged_at = now
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._following = self._begin_to_follow()
        thread = Abandonable(self._work, shift, self._left_behind, name="forecast")
        thread.start()
        self._shift, self._thread = shift, thread

    def stop(self) -> None:
        """Ends after the forecast that is under way, or cuts it short when it takes long; calls that wait are answered."""
        if self._thread is None:
            return
        shift, thread = self._shift, self._thread
        with self._wake:
            shift.stopping = True
            self._wake.notify_all()
        thread.join(PATIENCE_SECONDS)
        with self._wake:
            shift.cut = True
        thread.join(CUTTING_SECONDS)
        self._left_behind = thread if thread.is_alive() else None
        self._shift = self._thread = None
        if self._following is not None:
            self._following.close()
            self._following = None
        self._pairing.begin(time.monotonic())
        if self._call is not None:
            self._requests.appendleft(self._call)
            self._call = None
        while self._requests:
            self._answer(self._requests.popleft(), _failure("the node was deactivated"))

    @property
    def running(self) -> bool:
        return self._thread is not None

    def add_image(self, frame: Frame) -> None:
        if self._following is not None:
            self._following.add_image(frame)  # before the forecast that may be made from it
        with self._wake:
            self._pairing.add(frame)
            self._wake.notify()

    def update(self, settings: ForecastParameters) -> None:
        """Takes changed settings; those that need a reload must be the same."""
        with self._wake:
            if settings.max_rate != self._settings.max_rate:
                self._earliest_next = time.monotonic()
            self._settings = settings
            self._pairing.max_skew = settings.max_pair_skew
            self._pairing.max_age = settings.max_image_age
            self._pairing.history = settings.pair_history
            self._pairing.camera_timeout = settings.camera_timeout
            if self._following is not None:
                self._following.image_fit = settings.image_fit
                self._following.budget = settings.history_budget_ms / 1000
            self._wake.notify()

    def request(self, request: Predict.Request) -> Job | str:
        """Queues a forecast, or tells why there can be none."""
        with self._wake:
            wanted = self._settings
            job = Job(
                self._pairing.newest(self._judged_at),
                request.instruction.strip() or wanted.instruction.strip(),
                request.num_samples or wanted.num_samples,
                request.num_solver_steps or wanted.solver_steps,
                self._seed() if request.seed < 0 else request.seed,
                wanted,
                answer=Future(),
            )
            why_not = self._why_not(job, self._clock())
            if why_not:
                return why_not
            self._requests.append(job)
            self._wake.notify()
        return job

    def look_around(self, judge_silence: bool) -> tuple[list[CameraChange], list[str]]:
        """Cameras that came or went, and warnings; to be called a few times a second.

        Args:
            judge_silence: False when images may be waiting to be noted: then no camera counts as silent yet.
        """
        now = time.monotonic()
        with self._wake:
            if judge_silence:
                self._judged_at = now
            # A camera that has just gone missing, or a listener who came, may make images ready to go.
            self._wake.notify()
            return self._pairing.changes(self._judged_at), self._pairing.warnings(self._judged_at, self._clock())

    def standing(self) -> Standing:
        now = time.monotonic()
        with self._wake:
            heard = self._pairing.heard(self._judged_at)
            silence = self._pairing.silence(self._judged_at)
            late = [view for view in self._pairing.waited_for(self._judged_at) if view in silence]
            waiting_for = None
            if self._thread is None:
                waiting_for = "activate"
            elif self._left_behind is not None and self._left_behind.is_alive():
                waiting_for = "the end of a forecast that was cut short"
            elif not self._settings.enabled:
                waiting_for = "~/enable"
            elif self.lacks_instruction(self._settings):
                waiting_for = "an instruction"
            elif not heard:
                waiting_for = "images"
            elif not self._anybody_listens():
                waiting_for = "a subscriber"
            elif late:
                waiting_for = "images from " + " and ".join(f"{view} ({silence[view]})" for view in late)
            lacking, speaking = self._lacking(), [view for view in heard if view not in silence]
            if waiting_for is None and speaking and all(view in lacking for view in speaking):
                waiting_for = "the past: " + _said({view: lacking[view] for view in speaking})
            refusals = {view: f"refused, {why}" for view, why in self._usage.refused.items()}
            working_on, working_for = self._usage.working(now)
            rate = self._settings.max_rate
            return Standing(
                waiting_for=waiting_for,
                obstacle=self._pairing.obstacle(self._judged_at, self._clock()) or self._usage.failure,
                left_out={view: {**lacking, **refusals, **silence}.get(view, "") for view in self._settings.views},
                seconds_since_used=self._usage.seconds_since_used(now),
                seconds_without=self._usage.seconds_without(now, wanted=waiting_for is None),
                seconds_between=1 / rate if rate else 0.0,
                working_on=working_on,
                working_for=working_for,
                images_received=self._pairing.received,
                images_waiting=self._pairing.waiting,
                images_dropped=dict(self._pairing.dropped),
            )

    def lacks_instruction(self, settings: ForecastParameters) -> bool:
        return self._forecaster.needs_instruction and not settings.instruction.strip()

    def _begin_to_follow(self) -> Following | None:
        config, settings = self._forecaster.config, self._settings
        frames = self._forecaster.history_frames
        if settings.history_frames >= 0:
            frames = settings.history_frames
        if not frames:
            return None
        make_past = partial(PastPoints, frames, config.dt, config.grid, config.image_size)
        if self._forecaster.needs_history:
            from_first = config.anchor == "first"
            make_past = partial(PastPictures, frames, config.dt, self._forecaster.query_points(), from_first)
        return Following(
            settings.views,
            make_past,
            config.image_size,
            settings.image_fit,
            settings.history_budget_ms / 1000,
            self._logger.warning,
        )

    def _why_not(self, job: Job, clock: int) -> str:
        if not job.frames:
            return f"no image from {' or '.join(self._settings.views)}; are the cameras publishing?"
        if too_old := self._pairing.too_old(job.frames, clock):
            limit = self._settings.max_image_age
            return f"the newest image of {' and '.join(too_old)} is older than max_image_age ({limit} s)"
        if self._forecaster.needs_instruction and not job.instruction:
            return "there is no instruction; put one into the request or publish it on ~/instruction"
        if job.num_samples > MAX_SAMPLES:
            return f"num_samples is {job.num_samples}, at most {MAX_SAMPLES} can be had"
        if job.solver_steps > MAX_SOLVER_STEPS:
            return f"num_solver_steps is {job.solver_steps}, at most {MAX_SOLVER_STEPS} can be had"
        if self._settings.compile and job.num_samples not in self._compiled_samples:
            known = " or ".join(str(k) for k in sorted(self._compiled_samples))
            return (
                f"num_samples is {job.num_samples}, but the networks are compiled for {known}, and no forecast would come "
                f"for minutes while they were compiled anew; take {known}, or configure with compile set to false"
            )
        return ""

    def _seed(self) -> int:
        if self._settings.seed >= 0:
            return self._settings.seed
        return random.getrandbits(31)

    # On the thread itself

    def _work(self, shift: _Shift, before: Abandonable | None) -> None:
        if before is not None:
            before.join()  # the networks are for one thread at a time
        while (job := self._next_job(shift)) is not None:
            self._forecaster.before_step = partial(self._between_steps, shift, of_call=job.answer is not None)
            self._carry_out(job, shift)

    def _carry_out(self, job: Job, shift: _Shift) -> None:
        usable = job.frames
        try:
            usable = self._decode(job)
            response = self._run(job, usable, shift)
        except Exception as error:
            if shift.cut:
                self._count_dropped(job, "cut short", len(usable))
                return  # `stop` answers the call
            # A forecast that fails must not end the node: the next images may do.
            why = "the node was stopped" if shift.stopping else self._note_failure(job, len(usable), error)
            response = _failure(why)
        if job.answer is None:
            return
        with self._wake:
            if shift.cut:
                return
            self._call = None
        self._answer(job, response)

    def _between_steps(self, shift: _Shift, of_call: bool) -> None:
        """Ends a forecast that nobody waits for; and the newest images need not wait for the end of a call."""
        if shift.cut:
            raise CutShort
        if not of_call:
            return
        with self._wake:
            job = None if shift.stopping else self._job_of_newest_images()
        if job is None:
            return
        of_the_call = self._forecaster.before_step
        self._forecaster.before_step = partial(self._between_steps, shift, of_call=False)
        self._carry_out(job, shift)
        self._usage.begin(is_call=True)
        self._forecaster.before_step = of_the_call

    def _note_failure(self, job: Job, images: int, error: Exception) -> str:
        """Counts the images of a failed forecast, logs each reason once until one succeeds, and gives the reason."""
        self._count_dropped(job, "failed", images)
        reason = "".join(traceback.format_exception_only(error)).strip()
        if job.answer is None:
            self._usage.failure = f"the forecast failed: {reason}"
        if reason not in self._failures_said:
            self._failures_said.add(reason)
            self._logger.error("the forecast failed:\n" + "".join(traceback.format_exception(error)))
        return f"the forecast failed: {reason}"

    def _answer(self, job: Job, response: Predict.Response) -> None:
        if job.answer is not None:
            job.answer.set_result(response)
            # The executor sleeps until something happens, and an answer from another thread does not wake it.
            self._wake_executor()

    def _next_job(self, shift: _Shift) -> Job | None:
        """Waits for a request or a new pair of images; None when the thread is to stop."""
        self._usage.rest()
        with self._wake:
            while not shift.stopping:
                if self._requests:
                    self._call = self._requests.popleft()
                    return self._call
                if job := self._job_of_newest_images():
                    return job
                # A rate of almost nothing makes a pause of centuries.
                pause = max(self._earliest_next - time.monotonic(), 0)
                self._wake.wait(timeout=min(pause, threading.TIMEOUT_MAX) or None)
        return None

    def _job_of_newest_images(self) -> Job | None:
        """What the stream is to forecast now; None without new images, or when it is to forecast nothing."""
        now = time.monotonic()
        wanted = self._settings
        ready = (
            wanted.enabled
            and not self.lacks_instruction(wanted)
            and now >= self._earliest_next
            and self._anybody_listens()
        )
        frames = self._pairing.take(self._judged_at, self._clock()) if ready else None
        if not frames:
            return None
        if wanted.max_rate > 0:
            self._earliest_next = now + 1 / wanted.max_rate
        return Job(
            frames,
            wanted.instruction.strip(),
            wanted.num_samples,
            wanted.solver_steps,
            self._seed(),
            wanted,
        )

    def _count_dropped(self, job: Job, why: str, images: int) -> None:
        if job.answer is None:  # a call may take the same images again
            self._statistics.dropped(why, images)

    def _run(self, job: Job, images: dict[str, np.ndarray], shift: _Shift) -> Predict.Response:
        """Forecasts from uint8 images [height, width, 3] by view. Raises CutShort when nobody waits for it any more."""
        if not images:
            return _failure("no camera sends images that can be used; see the log")
        started = time.monotonic()
        size = self._forecaster.config.image_size
        fitted = {view: fit(image, job.settings.image_fit, size) for view, image in images.items()}
        past = self._past(job, fitted)
        if lacking := [view for view in fitted if view in past and past[view] is None]:
            fitted, past = ({view: of[view] for view in of if view not in lacking} for of in (fitted, past))
            self._count_dropped(job, "waiting for the past", len(lacking))
        if not fitted:
            held = {view: self._lacking().get(view, "its past not ready in time") for view in lacking}
            return _failure(f"the forecast waits for the past: {_said(held)}")
        forecast = self._forecaster.predict(
            {view: part.picture for view, part in fitted.items()},
            job.instruction or None,
            k=job.num_samples,
            steps=job.solver_steps or None,
            seed=job.seed,
            deadline_ms=self._milliseconds_left(job),
            history_tracks=past,
        )
        if shift.cut:
            raise CutShort
        forecast = to_source_pixels(forecast, fitted)
        circumstances = Circumstances(
            sources=[_source(job.frames[view], images[view]) for view in forecast.views],
            instruction=job.instruction,
            model_id=self._forecaster.model_id,
            compute_time=time.monotonic() - started,
            history_frames=min((self._frames_seen(history) for history in past.values()), default=0),
        )
        made = time.monotonic()
        response = self._deliver(Result(job, images, forecast, circumstances))
        self._failures_said.clear()
        if job.answer is None:
            self._usage.used(forecast.views)
        self._compiled_samples.add(job.num_samples)
        self._publishing_times.append(time.monotonic() - made)
        return response

    def _past(self, job: Job, fitted: dict[str, Fitted]) -> dict[str, History | None]:
        """Where the points of the fitted pictures were, in their pixels; nothing for a model of the present alone.

        None of a view whose past is not there yet, for a model that forecasts from the past alone.
        """
        following = self._following
        if following is None:
            return {}
        left = self._milliseconds_left(job)
        patience = LONGEST_WAIT if left is None else min(LONGEST_WAIT, left / 2000)  # half of what is left
        past = following.history({view: job.frames[view] for view in fitted}, patience)
        size = self._forecaster.config.image_size
        return {
            view: history and History(rescale(history.tracks, size, fitted[view].picture.shape[:2]), history.visible)
            for view, history in past.items()
        }

    def _lacking(self) -> dict[str, str]:
        """How much past there is and how much is wanted, by view, of the views that have less than the model needs."""
        following = self._following
        if following is None or not self._forecaster.needs_history:
            return {}
        wanted, dt = self._forecaster.history_frames, self._forecaster.config.dt
        return {
            view: f"{steps} of {wanted} frames of its past, {dt:g} s apart"
            for view, steps in following.steps().items()
            if steps < wanted
        }

    def _frames_seen(self, history: History) -> int:
        """Of the past, the present one not among them."""
        seen = int(history.visible.any(axis=(0, 2, 3)).sum())
        return min(seen, self._forecaster.history_frames)

    def _milliseconds_left(self, job: Job) -> float | None:
        """For the networks, of the latency budget; None where there is no budget, or somebody asked for so much."""
        if not job.settings.latency_budget or job.answer is not None:
            return None
        gone = time.monotonic() - max(frame.arrived for frame in job.frames.values())
        left = job.settings.latency_budget - gone - max(self._publishing_times)
        return max(1000 * left, 1.0)

    def _decode(self, job: Job) -> dict[str, np.ndarray]:
        """The pictures that can be used, uint8 [height, width, 3]; the others are named once."""
        self._usage.begin(is_call=job.answer is not None)
        images, refused = {}, {}
        for view, frame in job.frames.items():
            kind = getattr(frame.message, "encoding", None) or getattr(frame.message, "format", "")
            try:
                images[view] = to_rgb(frame.message)
                self._refused = {refused for refused in self._refused if refused[0] != view}
            except ImageRefused as error:
                self._count_dropped(job, "refused", 1)
                refused[view] = str(error).partition(";")[0]  # what is wrong; the log also says what to do
                if (view, kind) not in self._refused:
                    self._refused.add((view, kind))
                    self._logger.error(f"images of camera {view} are refused: {error}")
        self._usage.refused = refused
        return images


def _said(lacking: dict[str, str]) -> str:
    return ", ".join(f"{view} has {what}" for view, what in lacking.items())


def _failure(message: str) -> Predict.Response:
    return Predict.Response(success=False, message=message)


def _source(frame: Frame, image: np.ndarray) -> Source:
    height, width, _ = image.shape
    return Source(frame.view, frame.message.header, width, height)
