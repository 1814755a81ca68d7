"""Where the points of the present grid were, followed on image by image. No ROS in here.

To follow the grid back from every new image would cost as many image pairs as the past has frames. So points are followed
forwards instead, one pair an image: one point in every cell of the picture, with the way that it has come. A cell whose
point was lost or has left gets a new one, without a past. A point of the grid was where its nearest followed neighbour
has come from. On the shipped episode that is as near the truth as following the grid back, sees more of it, and costs a
thirtieth (docs/ros.md).
"""

from bisect import bisect_right
from dataclasses import dataclass

import cv2
import numpy as np

from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.history import History
from trajforecast_model.tracks.optical_flow import PointTracker
from trajforecast_ros.forecast.history.image_order import ImageOrder

SPACING = 2  # points of the grid a side to one that is followed
COARSEST_SPACING = 4 * SPACING


@dataclass(frozen=True)
class _Moment:
    """Where the followed points were in one image."""

    time: int  # nanoseconds
    number: int  # of the image
    points: np.ndarray  # float32 [P, 2], pixels
    since: np.ndarray  # [P], the number of the image from which on each is followed


class PastPoints:
    """What one camera's points did lately. One thread may add images while another asks.

    Args:
        frames: the steps of the past that are wanted.
        dt: seconds between them, whatever the camera's rate.
        grid: (rows, columns) of query points.
        size: (height, width) of the images.
        spacing: points of the grid a side to one that is followed.
    """

    def __init__(self, frames: int, dt: float, grid: tuple[int, int], size: tuple[int, int], spacing: int = SPACING):
        self._spacing = spacing
        self._frames = frames
        self._dt = dt
        self._step = round(dt * 1e9)
        self.order = ImageOrder(self._step)
        self._query = query_points(grid, size)
        self._cells = tuple(-(-side // spacing) for side in grid)  # rows, columns
        self._size = size
        self._centres = query_points(self._cells, size).reshape(-1, 2)
        self.forget()

    def forget(self) -> None:
        """Begins anew, for what comes does not go on from what was."""
        self.order.forget()
        self._tracker: PointTracker | None = None
        self._moments: tuple[_Moment, ...] = ()

    @property
    def num_followed(self) -> int:
        return len(self._centres)

    def coarser(self) -> "PastPoints | None":
        """An empty one that follows a quarter of the points; None where too few would be left."""
        if self._spacing >= COARSEST_SPACING:
            return None
        return PastPoints(self._frames, self._dt, self._query.shape[:2], self._size, 2 * self._spacing)

    def add(self, time: int, gray: np.ndarray) -> None:
        """Follows the points on to an image, uint8 [height, width], taken at `time` nanoseconds, unless its order leaves it
        out."""
        if self.order.leaves_out(time):
            return
        if self.order.begins_anew(time):
            self.forget()
        self.order.note(time)
        if self._tracker is None:
            self._tracker = PointTracker(gray, self._centres)
            since = np.zeros(len(self._centres), dtype=int)
            self._moments = (_Moment(time, 0, self._tracker.points.copy(), since),)
            return
        self._tracker.update(gray)
        number = self._moments[-1].number + 1
        since = self._one_a_cell(number)
        oldest = time - (self._frames + 1) * self._step
        kept = tuple(moment for moment in self._moments if moment.time >= oldest)
        self._moments = (*kept, _Moment(time, number, self._tracker.points.copy(), since))

    def history(self, time: int) -> History:
        """Where the grid of the image of that time was before, [1, frames, rows, columns], pixels.

        A step has an image if one was taken within half a step of it; between two images a point moved evenly. A point is
        not seen where its neighbours are not followed for so long, and in steps without an image.
        """
        moments = self._moments  # another thread may add to them meanwhile
        shape = (self._frames, *self._query.shape[:2])
        tracks, visible = np.broadcast_to(self._query, (*shape, 2)).copy(), np.zeros(shape, dtype=bool)
        times = np.array([moment.time for moment in moments], dtype=np.int64)
        if len(times) and np.abs(times - time).min() <= self._step / 2:
            newest = int(np.abs(times - time).argmin())
            moments, times = moments[: newest + 1], times[: newest + 1]
            for index in range(self._frames):
                moment = time - (self._frames - index) * self._step
                if np.abs(times - moment).min() <= self._step / 2:
                    tracks[index], visible[index] = self._at(moment, moments, times)
        return History(tracks[None], visible[None])

    def _at(self, time: int, moments: tuple[_Moment, ...], times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of one step: positions [rows, columns, 2] and what is seen of them [rows, columns]."""
        present = moments[-1]
        before = max(bisect_right(times, time) - 1, 0)
        after = min(before + 1, len(moments) - 1)
        between = max(int(times[after] - times[before]), 1)
        share = np.float32(np.clip((time - int(times[before])) / between, 0, 1))
        followed = np.flatnonzero(present.since <= moments[before].number)
        if not len(followed):
            return self._query, np.zeros(self._query.shape[:2], dtype=bool)
        then = (1 - share) * moments[before].points + share * moments[after].points
        nearest, is_near = self._nearest(present.points[followed])
        tracks = self._query + (then - present.points).take(followed[nearest], axis=0)
        (x, y), (height, width) = np.moveaxis(tracks, -1, 0), self._size
        return tracks, is_near & (x >= 0) & (x <= width) & (y >= 0) & (y <= height)

    def _nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of [P, 2] lies nearest to each point of the grid, and whether it is no further than the next cell."""
        grid = self._query.shape[:2]
        rows, columns = _cell_of(points, grid, self._size)
        empty = np.ones(grid, dtype=np.uint8)
        empty[rows, columns] = 0
        distance, labels = cv2.distanceTransformWithLabels(
            empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        by_label = np.zeros(labels.max() + 1, dtype=int)
        by_label[labels[rows, columns]] = np.arange(len(points))
        return by_label[labels], distance <= self._spacing

    def _one_a_cell(self, number: int) -> np.ndarray:
        """Of the points in a cell goes on that which is followed longest; those that are left over begin anew in the empty
        cells. Gives the images from which on they are followed."""
        tracker, since = self._tracker, self._moments[-1].since.copy()
        rows, columns = _cell_of(tracker.points, self._cells, self._size)
        longest = np.argsort(since, kind="stable")
        longest = longest[tracker.found[longest]]
        taken, first = np.unique((rows * self._cells[1] + columns)[longest], return_index=True)
        spare, empty = np.ones(len(since), dtype=bool), np.ones(len(since), dtype=bool)
        spare[longest[first]], empty[taken] = False, False
        tracker.points[spare], since[spare] = self._centres[empty], number
        tracker.found[:] = True
        return since


def _cell_of(points: np.ndarray, cells: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the cell that each of [P, 2] pixels lies in."""
    (rows, columns), (height, width) = cells, size
    row = np.clip(points[:, 1] * (rows / height), 0, rows - 1).astype(int)
    column = np.clip(points[:, 0] * (columns / width), 0, columns - 1).astype(int)
    return row, column
