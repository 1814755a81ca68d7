"""The point trackers by name. A new one is a class with `track` and an entry here."""

from importlib import import_module

from trajforecast_model.data.labelers.trackers.interface import PointTracker, TrackerOptions

# Module and class: a process whose labeler is another one does not import PyTorch for a network that it never loads.
POINT_TRACKERS = {
    "lucas_kanade": ("lucas_kanade", "LucasKanade"),
    "alltracker": ("alltracker", "AllTracker"),
    "tapnext": ("tapnext", "TapNext"),
    "cotracker3": ("cotracker3", "CoTracker3"),
}


def make_point_tracker(name: str, options: TrackerOptions | None = None) -> PointTracker:
    """Makes a tracker ready to use.

    Raises:
        ValueError: for an unknown name, or where the tracker's package or weights are missing: what to install and
            where the weights go.
    """
    if name not in POINT_TRACKERS:
        raise ValueError(f"unknown point tracker {name!r}; known ones: {', '.join(POINT_TRACKERS)}")
    module, class_name = POINT_TRACKERS[name]
    tracker = getattr(import_module(f"{__package__}.{module}"), class_name)
    return tracker(options or TrackerOptions())
