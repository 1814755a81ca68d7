"""TAPNext (Zholus et al., arXiv 2504.05579), also with the weights of TAPNext++: recurrent, frame by frame. Code and
weights are Apache-2.0."""

import numpy as np
import torch

from trajforecast_model.conversion.borrowed import Origin, fill, import_source, read_weights, weights_file
from trajforecast_model.data.labelers.trackers.frames import from_first_frame, resize_video
from trajforecast_model.data.labelers.trackers.interface import TrackerOptions, check_input
from trajforecast_model.runtime.device import checked_device
from trajforecast_model.tracks.grid import rescale

ORIGIN = Origin(
    model="tapnext",
    repository="https://github.com/google-deepmind/tapnet",
    requirements="torchvision and einops",
    weights="tapnextpp_ckpt.pt of https://storage.googleapis.com/dm-tapnet/tapnextpp/ (or bootstapnext_ckpt.npz of "
    ".../dm-tapnet/tapnext/)",
)
MODEL_SIZE = (256, 256)
POINTS_AT_ONCE = 1024  # its own benchmark's; points look at each other, so memory grows with their square


class TapNext:
    """Through its `TAPNext`. Its pixels have their origin at the corner, as ours do, and y before x."""

    def __init__(self, options: TrackerOptions):
        self._device = checked_device(options.device)
        source = import_source(ORIGIN, "tapnet.tapnext.tapnext_torch", options.checkout)
        network = source.TAPNext(image_size=MODEL_SIZE)
        path = weights_file(ORIGIN, options.weights)
        if path.suffix == ".npz":
            converter = import_source(ORIGIN, "tapnet.tapnext.tapnext_torch_utils", options.checkout)
            try:
                converter.restore_model_from_jax_checkpoint(network, path)  # np.load, which refuses pickled objects
            except (KeyError, OSError, ValueError, RuntimeError) as error:
                raise ValueError(f"tapnext: {path} is not a TAPNext checkpoint ({error!r})") from error
        else:
            weights = read_weights(ORIGIN, options.weights)
            fill(ORIGIN, network, {name.removeprefix("tapnext."): value for name, value in weights.items()})
        self._network = network.to(self._device).eval()

    def track(self, video: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        check_input(video, points)
        size = video.shape[1:3]
        frames = torch.from_numpy(resize_video(video, MODEL_SIZE)).to(self._device).float() / 127.5 - 1
        inner = rescale(points.astype(np.float32), size, MODEL_SIZE)
        chunks = [inner[start : start + POINTS_AT_ONCE] for start in range(0, len(inner), POINTS_AT_ONCE)]
        followed = [self._follow(frames, chunk) for chunk in chunks]
        if not followed:
            return from_first_frame(points, np.zeros((len(video), 0, 2)), np.zeros((len(video), 0)))
        tracks = np.concatenate([tracks for tracks, _ in followed], axis=1)
        visible = np.concatenate([visible for _, visible in followed], axis=1)
        return from_first_frame(points, rescale(tracks, MODEL_SIZE, size), visible)

    @torch.inference_mode()
    def _follow(self, frames: torch.Tensor, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """frames [T, 256, 256, 3] in -1..1 and points [Q, 2] as (x, y) to tracks [T, Q, 2] and visible [T, Q]."""
        queries = torch.zeros(1, len(points), 3, device=self._device)  # frame, y, x
        queries[0, :, 1:] = torch.from_numpy(points[:, ::-1].copy())
        tracks, visible, state = [], [], None
        for frame in frames:
            start = {"query_points": queries} if state is None else {"state": state}
            yx, _, logits, state = self._network(video=frame[None, None], **start)  # [1, 1, Q, 2], _, [1, 1, Q, 1]
            tracks.append(yx[0, 0].flip(-1).cpu().numpy())
            visible.append((logits[0, 0, :, 0] > 0).cpu().numpy())
        return np.stack(tracks), np.stack(visible)
