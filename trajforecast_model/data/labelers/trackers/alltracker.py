"""AllTracker (Harley et al., ICCV 2025, arXiv 2506.07310): dense tracks as flow from the first frame. MIT."""

import numpy as np
import torch

from trajforecast_model.conversion.borrowed import Origin, fill, import_source, read_weights
from trajforecast_model.data.labelers.trackers.frames import from_first_frame, resize_video
from trajforecast_model.data.labelers.trackers.interface import TrackerOptions, check_input
from trajforecast_model.runtime.device import checked_device
from trajforecast_model.tracks.grid import rescale

ORIGIN = Origin(
    model="alltracker",
    repository="https://github.com/aharley/alltracker",
    requirements="torchvision and einops",
    weights="alltracker.pth or alltracker_tiny.pth of https://huggingface.co/aharley/alltracker",
)
WINDOW = 16  # frames it was trained with
LONGER_SIDE = 512  # pixels; it was evaluated at 384 x 512
SEEN = 0.6  # visibility times confidence above which its own evaluation calls a point visible


class AllTracker:
    """Through its `Net`, the small one where the weights are the small one's.

    A point takes the flow of the pixel it lies in, as in AllTracker's evaluation. Flow is a difference of positions, so
    where a pixel has its origin does not matter to it.
    """

    def __init__(self, options: TrackerOptions):
        self._device = checked_device(options.device)
        source = import_source(ORIGIN, "nets.alltracker", options.checkout)
        weights = read_weights(ORIGIN, options.weights)
        if any(name.startswith("fnet.") for name in weights):
            network = source.Net(WINDOW, use_basicencoder=True, no_split=True)
        else:
            network = source.Net(WINDOW, init_weights=False)  # or it would download a ConvNeXt to start from
        fill(ORIGIN, network, weights)
        self._network = network.to(self._device).eval()

    def track(self, video: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        check_input(video, points)
        num_frames, *size = video.shape[:3]
        inner = _multiples_of_8(size)
        frames = resize_video(video[_whole_windows(num_frames)], inner)
        images = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float().to(self._device)  # [1, T, 3, h, w], 0..255
        with torch.inference_mode():
            # As if in training: otherwise it sends frames to a GPU wherever it is itself. All else that depends on
            # this is the padding to whole windows, which is done here.
            flow, seen, _, _ = self._network(images, is_training=True)  # [1, T, 2, h, w] each
        column, row = np.floor(rescale(points, size, inner)).astype(int).T
        column, row = column.clip(0, inner[1] - 1), row.clip(0, inner[0] - 1)
        flow, seen = (maps[0, :num_frames].cpu().numpy()[:, :, row, column] for maps in (flow, seen))  # [T, 2, N]
        moved = rescale(flow.transpose(0, 2, 1), inner, size)
        return from_first_frame(points, points + moved, seen.prod(axis=1) > SEEN)


def _multiples_of_8(size: tuple[int, int]) -> tuple[int, int]:
    scale = LONGER_SIDE / max(size)
    height, width = (max(8, round(side * scale / 8) * 8) for side in size)
    return height, width


def _whole_windows(num_frames: int) -> np.ndarray:
    """Indices of the frames with the last one repeated: windows lie half over each other."""
    half = WINDOW // 2
    padded = WINDOW + half * max(0, -(-(num_frames - WINDOW) // half))
    return np.arange(padded).clip(max=num_frames - 1)
