"""The point trackers by name. A new one is a class with `track` and an entry here."""

from collections.abc import Callable

from trajforecast_model.data.labelers.trackers.alltracker import AllTracker
from trajforecast_model.data.labelers.trackers.cotracker3 import CoTracker3
from trajforecast_model.data.labelers.trackers.interface import PointTracker, TrackerOptions
from trajforecast_model.data.labelers.trackers.lucas_kanade import LucasKanade
from trajforecast_model.data.labelers.trackers.tapnext import TapNext

POINT_TRACKERS: dict[str, Callable[[TrackerOptions], PointTracker]] = {
    "lucas_kanade": LucasKanade,
    "alltracker": AllTracker,
    "tapnext": TapNext,
    "cotracker3": CoTracker3,
}


def make_point_tracker(name: str, options: TrackerOptions | None = None) -> PointTracker:
    """Makes a tracker ready to use.

    Raises:
        ValueError: for an unknown name, or where the tracker's package or weights are missing: what to install and
            where the weights go.
    """
    if name not in POINT_TRACKERS:
        raise ValueError(f"unknown point tracker {name!r}; known ones: {', '.join(POINT_TRACKERS)}")
    return POINT_TRACKERS[name](options or TrackerOptions())
