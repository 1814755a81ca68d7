"""The tracker that needs nothing but OpenCV. For trying real video at once; its limits are measured in docs/data.md."""

import numpy as np
from scipy.spatial import cKDTree

from trajforecast_model.data.labelers.trackers.interface import TrackerOptions, check_input
from trajforecast_model.tracks.optical_flow import change_of_appearance, follow

NEIGHBOURS = 9
SEEN_WITHIN = 25.0  # grey levels that the picture around a visible point may differ from the first frame's


class LucasKanade:
    """Pyramidal Lucas-Kanade with a forward-backward check; points that fail the check are carried by their neighbours.

    Most points that fail lie on plain surfaces and are still in sight. So a carried point counts as visible while the
    picture around it looks as in the first frame.
    """

    def __init__(self, options: TrackerOptions):
        if options.checkout or options.weights:
            raise ValueError("lucas_kanade: takes neither a checkout nor weights; leave them out")

    def track(self, video: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        check_input(video, points)
        followed_tracks, followed = follow(video, points)
        tracks = carried_by_neighbours(followed_tracks, followed)
        height, width = video.shape[1:3]
        inside = ((tracks >= 0) & (tracks < (width, height))).all(axis=-1)
        return tracks, followed | (inside & (change_of_appearance(video, tracks) < SEEN_WITHIN))


def carried_by_neighbours(tracks: np.ndarray, followed: np.ndarray) -> np.ndarray:
    """From the frame in which it is lost a point makes the steps of the points beside it: the median of their steps.

    Beside it in the first frame, where neighbours lie on the same body more often than when something hides them.

    Args:
        tracks: float32 [T, N, 2].
        followed: bool [T, N]; a point that is lost stays lost.

    Returns:
        float32 [T, N, 2], the tracks of followed points unchanged.
    """
    carried = tracks.copy()
    for t in range(1, len(tracks)):
        there, lost = followed[t], ~followed[t]
        carried[t, lost] = carried[t - 1, lost]
        if lost.any() and there.any():
            nearest = np.arange(min(NEIGHBOURS, there.sum())) + 1  # as a list, so that one neighbour is an axis too
            _, beside = cKDTree(tracks[0, there]).query(tracks[0, lost], k=nearest)
            steps = tracks[t, there] - tracks[t - 1, there]
            carried[t, lost] += np.median(steps[beside], axis=1)
    return carried
