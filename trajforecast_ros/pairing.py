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
SKEWED_TOO_OFTEN = 20


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
        camera_timeout: seconds of silence after which a camera counts as missing and the others go on without it.
        now: when listening began.
    """

    def __init__(self, views: list[str], max_skew: float, camera_timeout: float, now: float):
        self.views = tuple(views)
        self.max_skew = max_skew
        self.camera_timeout = camera_timeout
        self.dropped: Counter[str] = Counter()
        self._newest: dict[str, Frame] = {}
        self._used: dict[str, bool] = {}
        self._last_heard = dict.fromkeys(self.views, now)
        # Unknown until the first image or the first timeout, so that a start-up announces nothing too early.
        self._present: dict[str, bool | None] = dict.fromkeys(self.views)
        self._skewed_in_a_row = 0

    def add(self, frame: Frame) -> None:
        """Takes a camera's newest image in place of its earlier one."""
        if frame.view in self._newest and not self._used[frame.view]:
            self.dropped["superseded"] += 1
        self._newest[frame.view] = frame
        self._used[frame.view] = False
        self._last_heard[frame.view] = frame.arrived

    def take(self, now: float) -> dict[str, Frame] | None:
        """The newest pair, once each; None while there is none.

        A pair holds a new image of every camera that is not missing. Of images that lie too far apart the older is
        dropped, since its partner will not come any more.
        """
        waited_for = [view for view in self.views if not self._is_silent(view, now)]
        if not waited_for or any(self._used.get(view, True) for view in waited_for):
            return None
        frames = {view: self._newest[view] for view in waited_for}
        times = _comparable_times(frames)
        if _spread(times) > self.max_skew:
            self._used[min(times, key=times.get)] = True
            self.dropped["skew"] += 1
            self._skewed_in_a_row += 1
            return None
        for view in waited_for:
            self._used[view] = True
        self._skewed_in_a_row = 0
        return frames

    def newest(self, now: float) -> dict[str, Frame]:
        """The newest image of each camera that is not missing, used before or not."""
        heard = [view for view in self.views if view in self._newest and not self._is_silent(view, now)]
        return {view: self._newest[view] for view in heard}

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

    def skew_warning(self, now: float) -> str | None:
        """A warning when every camera delivers but ever so many images in a row found no partner; once a row."""
        if self._skewed_in_a_row < SKEWED_TOO_OFTEN or (frames := self.newest(now)).keys() != set(self.views):
            return None
        self._skewed_in_a_row = -sys.maxsize  # until a pair sets it back
        skew = _spread(_comparable_times(frames))
        return (
            f"the stamps of {' and '.join(frames)} are {skew:.3f} s apart, more than max_pair_skew ({self.max_skew} s), "
            "so nothing is forecast; synchronise the cameras' clocks or raise max_pair_skew"
        )

    def _is_silent(self, view: str, now: float) -> bool:
        return now - self._last_heard[view] > self.camera_timeout


def _comparable_times(frames: dict[str, Frame]) -> dict[str, int]:
    """Nanoseconds at which the images were taken; where one has no stamp, at which they arrived."""
    if any(frame.stamp == 0 for frame in frames.values()):
        return {view: round(frame.arrived * 1e9) for view, frame in frames.items()}
    return {view: frame.stamp for view, frame in frames.items()}


def _spread(times: dict[str, int]) -> float:
    """Seconds between the first and the last."""
    return (max(times.values()) - min(times.values())) / 1e9
