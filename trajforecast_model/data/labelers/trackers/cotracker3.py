"""CoTracker3, offline (Karaev et al., arXiv 2410.11831): what the paper labelled LIBERO with. Code and weights are
CC BY-NC 4.0: not for commercial use."""

import numpy as np
import torch

from trajforecast_model.conversion.borrowed import Origin, fill, import_source, read_weights
from trajforecast_model.data.labelers.trackers.frames import from_first_frame
from trajforecast_model.data.labelers.trackers.interface import TrackerOptions, check_input
from trajforecast_model.runtime.device import checked_device

ORIGIN = Origin(
    model="cotracker3",
    repository="https://github.com/facebookresearch/co-tracker",
    requirements="nothing beside PyTorch",
    weights="scaled_offline.pth of https://huggingface.co/facebook/cotracker3",
)
TRAINED_WINDOW = 60  # frames; the length of the time embedding in the released weights


class CoTracker3:
    """Through its own `CoTrackerPredictor`, which resizes to 384 x 512 and back by itself.

    The predictor puts a pixel's centre at whole numbers, and so half a pixel is subtracted and added.
    """

    def __init__(self, options: TrackerOptions):
        self._device = checked_device(options.device)
        source = import_source(ORIGIN, "cotracker.predictor", options.checkout)
        # Not through its `checkpoint` argument, whose reading may run what is pickled in the file.
        predictor = source.CoTrackerPredictor(checkpoint=None, offline=True, window_len=TRAINED_WINDOW)
        fill(ORIGIN, predictor.model, read_weights(ORIGIN, options.weights))
        self._predictor = predictor.to(self._device).eval()

    def track(self, video: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        check_input(video, points)
        frames = torch.from_numpy(video).permute(0, 3, 1, 2)[None].float()  # [1, T, 3, H, W], 0..255
        queries = np.zeros((1, len(points), 3), np.float32)  # frame, x, y
        queries[0, :, 1:] = points - 0.5
        with torch.inference_mode():
            tracks, visible = self._predictor(
                frames.to(self._device), queries=torch.from_numpy(queries).to(self._device)
            )
        # [1, T, N, 2] and [1, T, N]
        return from_first_frame(points, tracks[0].cpu().numpy() + 0.5, visible[0].cpu().numpy())
