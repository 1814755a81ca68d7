"""The tracker that needs nothing but OpenCV. For trying real video at once; its limits are measured in docs/data.md."""

import numpy as np

from trajforecast_model.data.point_trackers.interface import TrackerOptions, check_input
from trajforecast_model.tracks.optical_flow import follow


class LucasKanade:
    """Pyramidal Lucas-Kanade; a point is visible until its way forward and back no longer closes."""

    def __init__(self, options: TrackerOptions):
        if options.checkout or options.weights:
            raise ValueError("lucas_kanade: takes neither a checkout nor weights; leave them out")

    def track(self, video: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        check_input(video, points)
        return follow(video, points)
