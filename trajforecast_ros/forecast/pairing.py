"""Which images go into the next forecast: the newest of each camera that belong together in time.

An image that comes late has its partner among those that came before, so each camera's images are kept for a short
while, and the newest set whose stamps fit is taken, whatever the order in which they came.

No ROS in here: stamps are nanoseconds, `now` is seconds of a clock that never jumps (time.monotonic). Image stamps may
jump: a bag that loops or a clock that is set back costs one frame, because what a camera showed before it is forgotten.
"""

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# A lost image or two shift the cameras against each other for a moment; only what lasts longer is worth a word.
LASTING_SECONDS = 2.0
# How much later than its camera's last two images were apart one may come and still be waited for.
LATER_THAN_USUAL = 1.5


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of one camera, not yet decoded."""

    view: str
    message: Any
    stamp: int  # nanoseconds; 0 means that the camera does not stamp its images
    arrived: float  # seconds


@dataclass(frozen=True)
class CameraChange:
    """A camera went missing or came (back); to be announced once."""

    view: str
    present: bool
    text: str


class Pairing:
    """Keeps a short history of each camera and says which images belong together. Not thread-safe.

    Args:
        views: the cameras.
        max_skew: seconds that the stamps of a set may lie apart.
        max_age: seconds that a stamp may lie in the past; 0 takes any age, and so do images without a stamp.
        camera_timeout: seconds of silence after which a camera counts as missing and the others go on without it.
        now: when listening began.
        history: seconds that an image waits for its partners. The newest of each camera waits on.

    The four limits may be set to other values at any time.
    """

    def __init__(
        self,
        views: list[str],
        max_skew: float,
        max_age: float,
        camera_timeout: float,
        now: float,
        history: float = 0.5,
    ):
        self.views = tuple(views)
        self.max_skew = max_skew
        self.max_age = max_age
        self.camera_timeout = camera_timeout
        self.history = history
        self.received = 0
        self.dropped: Counter[str] = Counter()
        self._cameras: dict[str, _Camera] = {}
        self.begin(now)

    def begin(self, now: float) -> None:
        """Begins to listen, or begins again after a pause: images from before are stale, and nobody was silent."""
        for camera in self._cameras.values():
            self.dropped["stale after a pause"] += len(camera.waiting)
        self._cameras = {view: _Camera(now) for view in self.views}
        self._latest_set: dict[str, Frame] = {}
        self._unmatched_until = -math.inf  # the arrival of the last image that had no partner
        self._forget_trouble()

    def add(self, frame: Frame) -> None:
        """Takes a camera's image, wherever its stamp belongs among those that wait."""
        self.received += 1
        self._note_return(frame)
        camera = self._cameras[frame.view]
        if camera.newest is not None and self._clock_jumped(camera.newest, frame):
            self._drop(camera, camera.waiting)
            camera.used = camera.newest = camera.spacing = None
        if camera.used is not None and frame.stamp < camera.used.stamp:
            self.dropped["superseded"] += 1  # a later one was forecast already
            return
        self._drop(camera, [other for other in camera.waiting if frame.stamp and other.stamp == frame.stamp])
        camera.take(frame)
        self._let_go(frame.arrived)

    def take(self, now: float, clock: int) -> dict[str, Frame] | None:
        """The newest set, each image once; None while there is none.

        A set holds a new image of every camera that is not missing. One that is too old is dropped; one that has no
        partner is, when it has waited for `history`.

        Args:
            clock: nanoseconds of the clock that stamps are made with.
        """
        views = self.waited_for(now)
        while views and all(self._cameras[view].waiting for view in views):
            frames = next(self._sets(views), None)
            if frames is None:
                self._unmatched_until = max(self._cameras[view].waiting[-1].arrived for view in views)
                self._no_set_since = now if self._no_set_since is None else self._no_set_since
                return None
            if self._a_closer_one_is_due(frames, now):
                return None
            too_old = self.too_old(frames, clock)
            if not too_old:
                self._use(frames)
                return frames
            self._too_old_since = now if self._too_old_since is None else self._too_old_since
            for view in too_old:
                camera = self._cameras[view]
                self._drop(camera, [*camera.before(frames[view]), frames[view]], "too old")
        return None

    def newest(self, now: float) -> dict[str, Frame]:
        """The newest image of each camera that is not missing, used before or not; where there is one, a set that fits."""
        heard = self.heard(now)
        newest = {view: self._cameras[view].newest for view in heard}
        fitting = next(self._sets(heard), self._latest_set)
        oldest = max((frame.arrived for frame in newest.values()), default=now) - self.history
        if fitting.keys() == newest.keys() and all(frame.arrived >= oldest for frame in fitting.values()):
            return fitting
        return newest

    def heard(self, now: float) -> list[str]:
        """The cameras that are not missing."""
        return [view for view in self.views if self._cameras[view].newest and not self._is_quiet(view, now)]

    def waited_for(self, now: float) -> list[str]:
        """The cameras without which nothing is forecast: all but those that are missing."""
        return [
            view
            for view, camera in self._cameras.items()
            if not self._is_quiet(view, now) or now - camera.waited_for_from <= self.camera_timeout
        ]

    @property
    def waiting(self) -> int:
        """Images that were neither given nor dropped yet."""
        return sum(len(camera.waiting) for camera in self._cameras.values())

    def too_old(self, frames: dict[str, Frame], clock: int) -> list[str]:
        """The cameras whose images' stamps lie further in the past than they may."""
        return [view for view, frame in frames.items() if self.max_age and _age(frame, clock) > self.max_age]

    def changes(self, now: float) -> list[CameraChange]:
        """Cameras that went missing or came since the last call."""
        changes = []
        for view, camera in self._cameras.items():
            quiet = self._is_quiet(view, now)
            if quiet and camera.present is not False:
                others = [other for other in self.views if not self._is_quiet(other, now)]
                consequence = f"forecasting {' and '.join(others)} alone" if others else "waiting for images"
                text = f"no image from camera {view} for {now - camera.last_heard:.1f} s; {consequence}"
                changes.append(CameraChange(view, False, text))
                camera.present = False
            elif not quiet and camera.newest and not camera.present:
                came_back = camera.present is False
                changes.append(CameraChange(view, True, f"camera {view} is {'back' if came_back else 'there'}"))
                camera.present = True
        return changes

    def silence(self, now: float) -> dict[str, str]:
        """What to say of each camera from which nothing has come for longer than it may."""
        texts = {}
        for view, camera in self._cameras.items():
            usual = LASTING_SECONDS if camera.spacing is None else max(LASTING_SECONDS, 3 * camera.spacing.arrivals)
            if now - camera.last_heard > min(usual, self.camera_timeout):
                texts[view] = f"no image for {now - camera.last_heard:.1f} s" if camera.newest else "no image yet"
        return texts

    def obstacle(self, now: float, clock: int) -> str:
        """What has kept every image from being used for a while; empty when nothing has."""
        newest = {view: self._cameras[view].newest for view in self.heard(now)}
        if not newest:
            return ""
        if self._no_set_since is not None and now - self._no_set_since > LASTING_SECONDS:
            skew = _spread(_comparable_times(newest))
            return (
                f"the stamps of {' and '.join(newest)} are {skew:.3f} s apart, more than max_pair_skew "
                f"({self.max_skew} s), so nothing is forecast; synchronise the cameras' clocks or raise max_pair_skew, "
                f"or pair_history ({self.history} s) where one camera's images only come later"
            )
        if self._too_old_since is not None and now - self._too_old_since > LASTING_SECONDS:
            too_old = self.too_old(newest, clock) or list(newest)
            age = max(_age(newest[view], clock) for view in too_old)
            return (
                f"images of {' and '.join(too_old)} are {age:.3f} s old when they come, more than max_image_age "
                f"({self.max_age} s), so nothing is forecast; synchronise the clocks, set use_sim_time for a bag, or "
                "raise max_image_age"
            )
        return ""

    def warnings(self, now: float, clock: int) -> list[str]:
        """The obstacle, once each time that there is one."""
        obstacle = self.obstacle(now, clock)
        if not obstacle or self._obstacle_said:
            return []
        self._obstacle_said = True
        return [obstacle]

    def _use(self, frames: dict[str, Frame]) -> None:
        for view, frame in frames.items():
            camera = self._cameras[view]
            self._drop(camera, camera.before(frame))
            camera.waiting.remove(frame)
            camera.used = frame
        self._latest_set = frames
        self._forget_trouble()

    def _note_return(self, frame: Frame) -> None:
        """A camera that was silent has nothing else to show; and after a pause of all of them each gets its time to come
        back before the others go on alone, unless it was missing before."""
        camera, timeout = self._cameras[frame.view], self.camera_timeout
        if all(self._is_quiet(view, frame.arrived) for view in self.views):
            pause_began = max(camera.last_heard for camera in self._cameras.values())
            for other in self._cameras.values():
                if pause_began - other.last_heard <= timeout:
                    other.waited_for_from = frame.arrived
                self._drop(other, other.waiting, "stale after a pause")
            self._forget_trouble()
        elif self._is_quiet(frame.view, frame.arrived):
            self._drop(camera, camera.waiting, "stale after a pause")
        camera.last_heard = max(camera.last_heard, frame.arrived)

    def _clock_jumped(self, newest: Frame, frame: Frame) -> bool:
        """Whether the image is neither a later one nor one that was only overtaken on its way."""
        if not newest.stamp or not frame.stamp:
            return newest.stamp != frame.stamp
        behind = newest.stamp - frame.stamp
        return behind > 0 and behind / 1e9 + frame.arrived - newest.arrived > self.history

    def _let_go(self, now: float) -> None:
        """Drops what no set will hold any more: all before the newest whole set, and what has waited long enough."""
        there = [view for view, camera in self._cameras.items() if camera.present is not False]
        whole = next(self._sets(there), {})
        if whole and not self._a_closer_one_is_due(whole, now):
            for view, frame in whole.items():
                self._drop(self._cameras[view], self._cameras[view].before(frame))
        longest = max(self.history, self.max_skew)
        for view, camera in self._cameras.items():
            kept = (whole.get(view), camera.waiting[-1] if camera.waiting else None)
            self._drop(camera, [f for f in camera.waiting if now - f.arrived > longest and f not in kept])

    def _sets(self, views: Iterable[str]) -> Iterator[dict[str, Frame]]:
        """Waiting images of these cameras that fit, newest first: with each image of the camera that is furthest behind
        the others' that are closest to it."""
        lines = {view: self._cameras[view].waiting for view in views}
        if not lines or not all(lines.values()):
            return
        at = _clock_of([line[-1] for line in lines.values()])
        lines = {view: sorted(line, key=at) for view, line in lines.items()}
        last = min(lines, key=lambda view: at(lines[view][-1]))
        for pivot in reversed(lines[last]):
            frames = _closest(pivot, {**lines, last: [pivot]}, at, round(self.max_skew * 1e9))
            if frames is not None:
                yield frames

    def _a_closer_one_is_due(self, frames: dict[str, Frame], now: float) -> bool:
        """Whether a camera, by the time between its last two images, will soon show one that fits far better."""
        times = _comparable_times(frames)
        for view, frame in frames.items():
            camera = self._cameras[view]
            if frame is not camera.newest or camera.spacing is None:
                continue
            closer = _spread({**times, view: times[view] + camera.spacing.stamps}) < _spread(times) / 2
            if closer and now - frame.arrived < min(LATER_THAN_USUAL * camera.spacing.arrivals, self.history):
                return True
        return False

    def _drop(self, camera: "_Camera", frames: list[Frame], reason: str = "") -> None:
        for frame in list(frames):
            # Those that were there when all cameras had one, and none fitted, are left out for that.
            self.dropped[reason or ("skew" if frame.arrived <= self._unmatched_until else "superseded")] += 1
            camera.waiting.remove(frame)

    def _forget_trouble(self) -> None:
        self._no_set_since: float | None = None
        self._too_old_since: float | None = None
        self._obstacle_said = False

    def _is_quiet(self, view: str, now: float) -> bool:
        return now - self._cameras[view].last_heard > self.camera_timeout


@dataclass(frozen=True)
class _Spacing:
    """What lay between a camera's last two images."""

    stamps: int  # nanoseconds
    arrivals: float  # seconds


class _Camera:
    """What is known of one camera."""

    def __init__(self, now: float):
        self.waiting: list[Frame] = []  # not used yet, in the order of their stamps
        self.newest: Frame | None = None  # used or not
        self.used: Frame | None = None  # last
        self.spacing: _Spacing | None = None
        self.last_heard = now
        self.waited_for_from = -math.inf  # a pause of all cameras ended then, and this one is expected back
        # Unknown until the first image or the first timeout, so that a start-up announces nothing too early.
        self.present: bool | None = None

    def take(self, frame: Frame) -> None:
        insort(self.waiting, frame, key=lambda other: other.stamp)
        newest = self.newest
        if newest is not None and frame.stamp < newest.stamp:
            return
        if newest is not None and _own_time(frame) > _own_time(newest):
            self.spacing = _Spacing(_own_time(frame) - _own_time(newest), frame.arrived - newest.arrived)
        self.newest = frame

    def before(self, frame: Frame) -> list[Frame]:
        """The waiting images that are older than one of them."""
        return self.waiting[: self.waiting.index(frame)]


def _closest(
    pivot: Frame, lines: dict[str, list[Frame]], at: Callable[[Frame], int], max_spread: int
) -> dict[str, Frame] | None:
    """An image of each line, sorted by `at`, that lie closest together, the pivot among them; None where they do not fit."""
    times = {view: [at(frame) for frame in line] for view, line in lines.items()}
    moment = at(pivot)
    best, least = None, max_spread
    for earliest in {time for line in times.values() for time in line if moment - max_spread <= time <= moment}:
        first = {view: bisect_left(line, earliest) for view, line in times.items()}
        if all(index < len(lines[view]) for view, index in first.items()):
            spread = max(times[view][index] for view, index in first.items()) - earliest
            if spread < least or (spread == least and best is None):
                best, least = {view: lines[view][index] for view, index in first.items()}, spread
    return best


def _age(frame: Frame, clock: int) -> float:
    """Seconds since the image was taken; 0 where it does not say."""
    return (clock - frame.stamp) / 1e9 if frame.stamp else 0.0


def _own_time(frame: Frame) -> int:
    return frame.stamp or round(frame.arrived * 1e9)


def _clock_of(frames: Iterable[Frame]) -> Callable[[Frame], int]:
    """What tells when images of these cameras were taken, nanoseconds: their arrival where one camera does not stamp."""
    if all(frame.stamp for frame in frames):
        return lambda frame: frame.stamp
    return lambda frame: round(frame.arrived * 1e9)


def _comparable_times(frames: dict[str, Frame]) -> dict[str, int]:
    """Nanoseconds at which the images were taken."""
    at = _clock_of(frames.values())
    return {view: at(frame) for view, frame in frames.items()}


def _spread(times: dict[str, int]) -> float:
    """Seconds between the first and the last."""
    return (max(times.values()) - min(times.values())) / 1e9
