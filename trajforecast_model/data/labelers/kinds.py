"""Labelers turn a demo into windows with tracks: `exact`, `stored`, or any point tracker by its name."""

from typing import Protocol

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.exact import ExactLabeler
from trajforecast_model.data.labelers.pixel import PixelLabeler
from trajforecast_model.data.labelers.stored import StoredLabeler, start_of
from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
from trajforecast_model.data.labelers.trackers.registry import POINT_TRACKERS, make_point_tracker
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.data.windows import window_starts

EXACT, STORED, LUCAS_KANADE = "exact", "stored", "lucas_kanade"
LABELERS = (EXACT, *POINT_TRACKERS, STORED)
_NO_NETWORKS = (EXACT, STORED, LUCAS_KANADE)


class Labeler(Protocol):
    """Made once in each worker process."""

    def label(self, demo: Demo, info: DatasetInfo) -> list[Window]:
        """The demo's windows in order of start and view. Raises ValueError if the demo cannot be labelled."""


def check_labeler(name: str, options: TrackerOptions) -> None:
    """Raises ValueError for a name that is no labeler's, and for options that are for networks where it is none."""
    if name == "atm":
        raise ValueError(
            "labeler 'atm': the tracks in ATM's files are scattered points queried at random frames, not the grid of a "
            f"window's first frame; label ATM's videos with a point tracker ({', '.join(POINT_TRACKERS)})"
        )
    if name not in LABELERS:
        raise ValueError(f"unknown labeler {name!r}; known labelers: {', '.join(LABELERS)}")
    if name in _NO_NETWORKS and options != TrackerOptions():
        raise ValueError(f"labeler {name!r} takes neither a checkout nor weights nor a device; leave them out")


def make_labeler(name: str, options: TrackerOptions) -> Labeler:
    """Raises ValueError where the tracker's package or weights are missing: what to install, where they go."""
    if name == EXACT:
        return ExactLabeler()
    if name == STORED:
        return StoredLabeler()
    return PixelLabeler(make_point_tracker(name, options))


def num_windows(name: str, num_frames: int, first_image: int | None, info: DatasetInfo) -> int:
    """How many windows a labeler makes of a demo; `exact` renders the images that are missing.

    Raises:
        ValueError: where `stored` has tracks of too few frames.
    """
    if name == STORED:
        start_of(num_frames, info)
        return len(info.views)
    starts = window_starts(num_frames, info.stride)
    if name != EXACT:
        starts = [start for start in starts if first_image is not None and start >= first_image]
    return len(starts) * len(info.views)
