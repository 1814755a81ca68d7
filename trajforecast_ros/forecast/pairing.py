"""Which images go into the next forecast: the newest of each camera, close together in time.

No ROS in here: stamps are nanoseconds, `now` is seconds of a clock that never jumps (time.monotonic). Image stamps may
jump: a bag that loops or a clock that is set back costs one frame, because stamps are only compared between cameras,
never with earlier ones.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

# A lost image or two shift the cameras against each other for a moment; only more than that is worth a word.
LEFT_OUT_TOO_OFTEN = 20


@dataclass(frozen=True)
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
    """Keeps the newest image of each camera and says which belong together. Not thread-safe.

    Args:
        views: the cameras.
        max_skew: seconds that the stamps of a pair may lie apart.
        max_age: seconds that a stamp may lie in the past; 0 takes any age, and so do images without a stamp.
        camera_timeout: seconds of silence after which a camera counts as missing and the others go on without it.
        now: when listening began.

    The three limits may be set to other values at any time.
    """

    def __init__(self, views: list[str], max_skew: float, max_age: float, camera_timeout: float, now: float):
        self.views = tuple(views)
        self.max_skew = max_skew
        self.max_age = max_age
        self.camera_timeout = camera_timeout
        self.received = 0
        self.dropped: Counter[str] = Counter()
        self._newest: dict[str, Frame] = {}
        self._used: dict[str, bool] = {}
        self.begin(now)

    def begin(self, now: float) -> None:
        """Begins to listen, or begins again after a pause: images from before are stale, and nobody was silent."""
        if stale := sum(not used for used in self._used.values()):
            self.dropped["stale after a pause"] += stale
        self._newest.clear()
        self._used.clear()
        self._last_heard = dict.fromkeys(self.views, now)
        # Unknown until the first image or the first timeout, so that a start-up announces nothing too early.
        self._present: dict[str, bool | None] = dict.fromkeys(self.views)
        self._left_out_in_a_row: Counter[str] = Counter()

    def add(self, frame: Frame) -> None:
        """Takes a camera's newest image in place of its earlier one."""
        self.received += 1
        if frame.view in self._newest and not self._used[frame.view]:
            self.dropped["superseded"] += 1
        self._newest[frame.view] = frame
        self._used[frame.view] = False
        self._last_heard[frame.view] = frame.arrived

    def take(self, now: float, clock: int) -> dict[str, Frame] | None:
        """The newest pair, once each; None while there is none.

        A pair holds a new image of every camera that is not missing. Of images that lie too far apart the older is
        dropped, since its partner will not come any more; one that is too old is dropped too.

        Args:
            clock: nanoseconds of the clock that stamps are made with.
        """
        waited_for = [view for view in self.views if not self._is_silent(view, now)]
        if not waited_for or any(self._used.get(view, True) for view in waited_for):
            return None
        frames = {view: self._newest[view] for view in waited_for}
        too_old = self.too_old(frames, clock)
        for view in too_old:
            self._leave_out(view, "too old")
        if too_old:
            return None
        times = _comparable_times(frames)
        if _spread(times) > self.max_skew:
            self._leave_out(min(times, key=times.get), "skew")
            return None
        for view in waited_for:
            self._used[view] = True
        self._left_out_in_a_row.clear()
        return frames

    def newest(self, now: float) -> dict[str, Frame]:
        """The newest image of each camera that is not missing, used before or not."""
        heard = [view for view in self.views if view in self._newest and not self._is_silent(view, now)]
        return {view: self._newest[view] for view in heard}

    def too_old(self, frames: dict[str, Frame], clock: int) -> list[str]:
        """The cameras whose images' stamps lie further in the past than they may."""
        return [view for view, frame in frames.items() if self.max_age and _age(frame, clock) > self.max_age]

    def changes(self, now: float) -> list[CameraChange]:
        """Cameras that went missing or came since the last call."""
        changes = []
        for view in self.views:
            silent = self._is_silent(view, now)
            if silent and self._present[view] is not False:
                others = [other for other in self.views if not self._is_silent(other, now)]
                consequence = f"forecasting {' and '.join(others)} alone" if others else "waiting for images"
                text = f"no image from camera {view} for {now - self._last_heard[view]:.1f} s; {consequence}"
                changes.append(CameraChange(view, False, text))
                self._present[view] = False
            elif not silent and view in self._newest and not self._present[view]:
                came_back = self._present[view] is False
                changes.append(CameraChange(view, True, f"camera {view} is {'back' if came_back else 'there'}"))
                self._present[view] = True
        return changes

    def warnings(self, now: float, clock: int) -> list[str]:
        """What keeps every image from being used, when that has gone on for a while; once each time it begins."""
        warnings = []
        frames = self.newest(now)
        if frames.keys() == set(self.views) and self._has_just_become_too_often("skew"):
            skew = _spread(_comparable_times(frames))
            warnings.append(
                f"the stamps of {' and '.join(frames)} are {skew:.3f} s apart, more than max_pair_skew "
                f"({self.max_skew} s), so nothing is forecast; synchronise the cameras' clocks or raise max_pair_skew"
            )
        if frames and self._has_just_become_too_often("too old"):
            age = max(_age(frame, clock) for frame in frames.values())
            warnings.append(
                f"images are {age:.3f} s old when they come, more than max_image_age ({self.max_age} s), so nothing is "
                "forecast; synchronise the clocks, set use_sim_time for a bag, or raise max_image_age"
            )
        return warnings

    def _leave_out(self, view: str, reason: str) -> None:
        self._used[view] = True
        self.dropped[reason] += 1
        self._left_out_in_a_row[reason] += 1

    def _has_just_become_too_often(self, reason: str) -> bool:
        if self._left_out_in_a_row[reason] < LEFT_OUT_TOO_OFTEN:
            return False
        self._left_out_in_a_row[reason] = -sys.maxsize  # until a pair sets it back
        return True

    def _is_silent(self, view: str, now: float) -> bool:
        return now - self._last_heard[view] > self.camera_timeout


def _age(frame: Frame, clock: int) -> float:
    """Seconds since the image was taken; 0 where it does not say."""
    return (clock - frame.stamp) / 1e9 if frame.stamp else 0.0


def _comparable_times(frames: dict[str, Frame]) -> dict[str, int]:
    """Nanoseconds at which the images were taken; where one has no stamp, at which they arrived."""
    if any(frame.stamp == 0 for frame in frames.values()):
        return {view: round(frame.arrived * 1e9) for view, frame in frames.items()}
    return {view: frame.stamp for view, frame in frames.items()}


def _spread(times: dict[str, int]) -> float:
    """Seconds between the first and the last."""
    return (max(times.values()) - min(times.values())) / 1e9
