"""A thread that follows the points of every camera from image to image, so that a forecast finds its past ready.

It works while the networks do. A forecast waits until its own images have been followed: that is one pair of images each.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

from trajforecast_model.images import resize_image
from trajforecast_model.tracks.history import History
from trajforecast_ros.forecast.fitting import fit
from trajforecast_ros.forecast.history.image_order import ImageOrder
from trajforecast_ros.forecast.pairing import Frame
from trajforecast_ros.images import ImageRefused, to_rgb

WAITING_IMAGES = 32  # of all cameras, that the thread has not looked at; more push out the oldest
MEASURED_IMAGES = 15  # whose median cost is held against the budget
LONGEST_WAIT = 0.5  # that a forecast waits at most, on a machine that is busy with other things


class Past(Protocol):
    """`PastPoints` or `PastPictures`."""

    order: ImageOrder

    def add(self, time: int, gray: np.ndarray) -> None: ...

    def history(self, time: int) -> History | None: ...

    def forget(self) -> None: ...

    def coarser(self) -> "Past | None": ...


class Following:
    """Follows from the beginning to `close`.

    Args:
        views: the cameras.
        make_past: an empty past.
        size: (height, width) at which the model looks at images.
        image_fit: how they are made to fit, see `fitting.fit`; may be set to another at any time.
        budget: seconds of a core's time that following one image may take at the median; where it takes longer fewer points
            are followed. 0 is no limit, and forecasts wait as long as it takes. May be set to another at any time.
        warn: is told when fewer points are followed, and of what should not have happened; called on the thread.
    """

    def __init__(
        self,
        views: list[str],
        make_past: Callable[[], Past],
        size: tuple[int, int],
        image_fit: str,
        budget: float,
        warn: Callable[[str], None],
    ):
        self.image_fit = image_fit
        self.budget = budget
        self._make_past = make_past
        self._size = size
        self._warn = warn
        self._wake = threading.Condition()
        self._images: deque[Frame] = deque(maxlen=WAITING_IMAGES)
        self._looking_at: Frame | None = None
        self._wanted: tuple[Frame, ...] = ()  # that a forecast is waiting for
        self._closing = False
        # Changed by the thread alone.
        self._pasts = {view: make_past() for view in views}
        self._shown: dict[str, tuple] = {}  # by view, how its last picture was fitted, and its size
        self._costs = {view: deque(maxlen=MEASURED_IMAGES) for view in views}  # seconds
        self._errors_told: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="following", daemon=True)
        self._thread.start()

    def add_image(self, frame: Frame) -> None:
        """Returns at once."""
        with self._wake:
            self._images.append(frame)
            self._wake.notify_all()

    def history(self, frames: dict[str, Frame], patience: float = LONGEST_WAIT) -> dict[str, History | None]:
        """The past of these images, by view, pixels at the model's size; that of no image in one that is not ready in time.

        Args:
            patience: seconds.
        """
        with self._wake:
            self._wanted = tuple(frames.values())
            self._wake.wait_for(
                lambda: self._closing or not self._lies_ahead(self._wanted), patience if self.budget else None
            )
            late = {view for view, frame in frames.items() if self._lies_ahead((frame,))}
            self._wanted = ()
        nothing = self._make_past()
        return {
            view: (nothing if view in late else self._pasts[view]).history(_time(frame))
            for view, frame in frames.items()
        }

    def steps(self) -> dict[str, int]:
        """How many steps of the past there are, by view, before the newest image."""
        return {view: past.order.steps for view, past in self._pasts.items()}

    def close(self) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()

    def _lies_ahead(self, frames: tuple[Frame, ...]) -> bool:
        return any(frame in self._images or frame is self._looking_at for frame in frames)

    def _work(self) -> None:
        while True:
            with self._wake:
                self._looking_at = None
                self._wake.notify_all()
                self._wake.wait_for(lambda: self._closing or self._images)
                if self._closing:
                    return
                self._looking_at = frame = self._images.popleft()
                wanted = frame in self._wanted
            if not wanted and not self._pasts[frame.view].order.is_due(_time(frame)):
                continue
            try:
                self._look(frame)
            except Exception as error:  # forecasts must go on, and not wait for this thread
                self._pasts[frame.view].forget()
                self._tell_once(frame.view, error)

    def _look(self, frame: Frame) -> None:
        began = time.thread_time()  # of a core: other programs must not count
        how = self.image_fit
        try:
            picture = fit(to_rgb(frame.message), how, self._size).picture
        except ImageRefused:
            return  # the forecast thread says so
        past = self._pasts[frame.view]
        if self._shown.get(frame.view) != (how, picture.shape):
            past.forget()  # the same pixel is not the same place any more
            self._shown[frame.view] = (how, picture.shape)
        past.add(_time(frame), _gray(picture, self._size))
        self._keep_to_budget(frame.view, time.thread_time() - began)

    def _tell_once(self, view: str, error: Exception) -> None:
        reason = f"{view}: {error!r}"
        if reason not in self._errors_told:
            self._errors_told.add(reason)
            self._warn(f"the past of camera {view} was not followed:\n{''.join(traceback.format_exception(error))}")

    def _keep_to_budget(self, view: str, seconds: float) -> None:
        """A past that takes too long begins again with a quarter of the points."""
        costs, past = self._costs[view], self._pasts[view]
        costs.append(seconds)
        too_slow = len(costs) == MEASURED_IMAGES and 0 < self.budget < np.median(costs)
        if not too_slow or (coarser := past.coarser()) is None:
            return
        self._pasts[view] = coarser
        self._warn(
            f"following the past of camera {view} takes {1000 * np.median(costs):.1f} ms an image, more than "
            f"history_budget_ms ({1000 * self.budget:g}); {coarser.num_followed} points are followed from now on, not "
            f"{past.num_followed}"
        )
        costs.clear()


def _gray(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(resize_image(picture, size)), cv2.COLOR_RGB2GRAY)


def _time(frame: Frame) -> int:
    """Nanoseconds: the stamp, or the arrival where there is none."""
    return frame.stamp or round(frame.arrived * 1e9)
