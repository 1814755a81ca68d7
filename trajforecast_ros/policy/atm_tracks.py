"""Forecasts as ATM's policy takes them: float32 [2, 16, 32, 2].

ATM (Wen et al. 2024, "Any-point Trajectory Modeling for Policy Learning", arXiv 2401.00025) gives its policy the
tracks of 32 fixed points in both of LIBERO's views. Its conventions, read in its code (`sample_double_grid(4)` and
`BCViLTPolicy.track_encode`):

view   agentview, then eye_in_hand: our "side", then "effector"
step   16 of them at the camera's rate (20 Hz); step 0 holds the points themselves
point  a 4 x 4 grid on 0.05 .. 0.85, then one on 0.15 .. 0.95; of each, x varies slowest
xy     x / width and y / height: 0 to 1 from one border of the image to the other, beyond where a track leaves it

The policy adds the batch, the number of frames it looks back, and the view as one-hot code itself.
"""

import numpy as np

from trajforecast_model.policy.tracks import ATM_POINTS as POINTS
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.summary import medoid
from trajforecast_ros.messages import SummaryArrays, TrackArrays
from trajforecast_ros.reduction import GridLookup

VIEWS = ("side", "effector")
STEPS = 16
# For the forecast node's parameter query_points: it then publishes these points alone, a hundredth of the grid.
QUERY_POINTS = " ".join(f"{x:.6g},{y:.6g}" for x, y in POINTS)

_SAME_POINT = 0.01  # of the image: how near to ATM's point a published one must be


def atm_tracks(arrays: TrackArrays | SummaryArrays, future: int | str = "medoid") -> np.ndarray:
    """One future of ATM's 32 points in both views.

    Of a grid of query points the futures are interpolated bilinearly, so step 0 holds ATM's points exactly. Of single
    query points (the parameter `query_points`) the nearest ones are taken.

    Args:
        arrays: what `read_tracks` or `read_summary` gives.
        future: "medoid", "mean", or of TrackArrays a sample's number.

    Returns:
        float32 [view, step, point, xy] = [2, 16, 32, 2], see the module's description.

    Raises:
        ValueError: for a future that the arrays do not have, a view that is missing, fewer than 16 steps, or single
            query points that are not ATM's.
    """
    return np.stack([_view(arrays, view, future) for view in VIEWS])


def _view(arrays: TrackArrays | SummaryArrays, view: str, future: int | str) -> np.ndarray:
    index = arrays.view_index(view)
    tracks = _chosen(arrays, index, future)  # [T, H, W, 2]
    if len(tracks) < STEPS:
        raise ValueError(f"ATM's policy takes {STEPS} steps, and this forecast has {len(tracks)}")
    relative = rescale(tracks[:STEPS], arrays.image_sizes[index], (1, 1))
    if relative.shape[1] > 1:
        return GridLookup(relative[None], POINTS).tracks(relative[None])[0, :, 0]
    return _nearest(relative[:, 0])


def _chosen(arrays: TrackArrays | SummaryArrays, view: int, future: int | str) -> np.ndarray:
    if isinstance(arrays, SummaryArrays):
        summaries = {"medoid": arrays.min, "mean": arrays.mean_t}
        if future not in summaries:
            raise ValueError(f"a summary has the futures medoid and mean, not {future!r}; single samples are in tracks")
        return summaries[future][view]
    samples = arrays.tracks[view]
    if future == "mean":
        return samples.mean(axis=0)
    if future == "medoid":
        return samples[medoid(samples)]
    if not isinstance(future, (int, np.integer)) or not 0 <= future < len(samples):
        raise ValueError(f"future is {future!r}; expected medoid, mean, or a sample from 0 to {len(samples) - 1}")
    return samples[future]


def _nearest(tracks: np.ndarray) -> np.ndarray:
    """[T, N, 2] -> [T, 32, 2]"""
    distances = np.linalg.norm(tracks[0] - POINTS[:, None], axis=-1)  # [32, N]
    if distances.min(axis=1).max() > _SAME_POINT:
        raise ValueError(
            "the published query points are not ATM's 32; leave the parameter query_points empty or set it to "
            "trajforecast_ros.policy.atm_tracks.QUERY_POINTS"
        )
    return tracks[:, distances.argmin(axis=1)]
