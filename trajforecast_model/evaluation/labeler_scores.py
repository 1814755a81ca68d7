"""How near a tracker's labels come to the exact ones of a clip."""

import numpy as np

from trajforecast_model.evaluation.metrics.errors import mean_error
from trajforecast_model.evaluation.metrics.visibility import average_jaccard, occlusion_accuracy, points_within
from trajforecast_model.evaluation.simulated_clips import Clip
from trajforecast_model.evaluation.windows import PROTOCOL_IMAGE_SIZE
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import moving_points

TAPVID_IMAGE_SIZE = (256, 256)  # the thresholds are in pixels of such images
SUBSETS = ("all", "moving")


def score_labels(tracks: np.ndarray, visible: np.ndarray, clip: Clip) -> dict[str, dict[str, float]]:
    """Figures over all points and over those that move (by the filter of the LIBERO protocol).

    Args:
        tracks: [T, P, 2], pixels of the clip's video.
        visible: bool [T, P]

    Returns:
        By subset. One without a point that is seen again after the first frame is left out.
    """
    size = clip.video.shape[1:3]
    at_protocol_size = rescale(clip.tracks, size, PROTOCOL_IMAGE_SIZE)
    subsets = {"all": np.ones(clip.tracks.shape[1], bool), "moving": moving_points(at_protocol_size[:, :, None])[:, 0]}
    return {
        subset: _figures(tracks[:, chosen], visible[:, chosen], clip.tracks[:, chosen], clip.visible[:, chosen], size)
        for subset, chosen in subsets.items()
        if clip.visible[1:, chosen].any()
    }


def _figures(
    tracks: np.ndarray, visible: np.ndarray, truth: np.ndarray, truly_visible: np.ndarray, size: tuple[int, int]
) -> dict[str, float]:
    at_256, truth_at_256 = rescale(tracks, size, TAPVID_IMAGE_SIZE), rescale(truth, size, TAPVID_IMAGE_SIZE)
    within = points_within(at_256, truth_at_256, truly_visible)
    at_128, truth_at_128 = rescale(tracks, size, PROTOCOL_IMAGE_SIZE), rescale(truth, size, PROTOCOL_IMAGE_SIZE)
    return {
        **{f"within_{threshold:g}": share for threshold, share in within.items()},
        "within_average": float(np.mean(list(within.values()))),
        "average_jaccard": average_jaccard(at_256, visible, truth_at_256, truly_visible),
        "occlusion_accuracy": occlusion_accuracy(visible, truly_visible),
        "squared_error": mean_error(at_128[None], truth_at_128),
    }
