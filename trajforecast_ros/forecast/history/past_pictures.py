"""Where a camera's points were, for a model that forecasts from the past alone: followed through its pictures. No ROS.

Such a model has few points, one a cell, and takes the very points of its grid, in the present or in the first frame of the
past. So the pictures of that time are kept, and a forecast follows its points through them, one pair of pictures each.
"""

from dataclasses import dataclass

import numpy as np

from trajforecast_model.tracks.history import History
from trajforecast_model.tracks.optical_flow import follow
from trajforecast_ros.forecast.history.image_order import ImageOrder

_SPARE = 2  # steps that are kept beyond the past, for a forecast of an image that is not the newest any more


@dataclass(frozen=True)
class _Picture:
    time: int  # nanoseconds
    gray: np.ndarray  # uint8 [height, width]


class PastPictures:
    """What one camera showed lately. One thread may add images while another asks.

    Args:
        frames: the steps of the past that are wanted, without the present one.
        dt: seconds between them, whatever the camera's rate.
        points: [rows, columns, 2] pixels of the images.
        from_first: whether the points are there in the first frame of the past, and not in the present one.
    """

    def __init__(self, frames: int, dt: float, points: np.ndarray, from_first: bool):
        self._frames = frames
        self._step = round(dt * 1e9)
        self._points = points
        self._from_first = from_first
        self.order = ImageOrder(self._step)
        self._pictures: tuple[_Picture, ...] = ()

    def forget(self) -> None:
        """Begins anew, for what comes does not go on from what was."""
        self.order.forget()
        self._pictures = ()

    def coarser(self) -> None:
        """There is none: all of its points are wanted."""

    def add(self, time: int, gray: np.ndarray) -> None:
        """Keeps an image, uint8 [height, width], taken at `time` nanoseconds, unless its order leaves it out."""
        if self.order.leaves_out(time):
            return
        if self.order.begins_anew(time):
            self.forget()
        self.order.note(time)
        oldest = time - (self._frames + _SPARE) * self._step
        # The last one before that stays: a slow camera's points come from there.
        begin = max((index for index, picture in enumerate(self._pictures) if picture.time <= oldest), default=0)
        self._pictures = (*self._pictures[begin:], _Picture(time, gray))

    def history(self, time: int) -> History | None:
        """Where the points of the image of that time were, [1, frames + 1, rows, columns] pixels, that image last.

        Between two images a point moved evenly; it is seen where it is followed in both. None where the pictures do not
        reach back to the first step, within half a step, or there is none of that time.
        """
        pictures = self._pictures  # another thread may add to them meanwhile
        steps = time + self._step * np.arange(-self._frames, 1)
        times = np.array([picture.time for picture in pictures], dtype=np.int64)
        if not len(times) or np.abs(times - time).min() > self._step / 2:
            return None
        if times[0] > steps[0] + self._step / 2:
            return None
        first, last = max(np.searchsorted(times, steps[0], "right") - 1, 0), np.abs(times - time).argmin()
        tracks, found = self._followed([picture.gray for picture in pictures[first : last + 1]])
        index = np.interp(steps, times[first : last + 1], np.arange(len(tracks)))
        before = np.floor(index).astype(int)
        after = np.minimum(before + 1, len(tracks) - 1)
        share = (index - before)[:, None, None].astype(np.float32)
        between = (1 - share) * tracks[before] + share * tracks[after]
        if self._from_first:  # they were there a little before, and what is there at the first step moves as they do
            between += self._points.reshape(-1, 2) - between[0]
        seen = found[before] & (found[after] | (share[..., 0] == 0))
        shape = (1, len(steps), *self._points.shape[:2])
        return History(between.reshape(*shape, 2), seen.reshape(shape))

    def _followed(self, grays: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The points in each of the pictures, [n, P, 2], and whether they are found there, [n, P]."""
        way = 1 if self._from_first else -1
        tracks, found = follow(np.stack(grays[::way]), self._points.reshape(-1, 2))
        return tracks[::way], found[::way]
