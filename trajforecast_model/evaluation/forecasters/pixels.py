"""The ablation of the paper's table 6: the denoiser generates the video, and tracks are read off its frames."""

import numpy as np
import torch
from torch import Tensor

from trajforecast_model.data.labelers.trackers.registry import make_point_tracker
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.images import resize_images
from trajforecast_model.inference.sampling import Sampler
from trajforecast_model.networks.image_encoder import signed_pixels
from trajforecast_model.tracks.grid import normalise, query_points


class FrameSampler(Sampler):
    """A sampler whose latents are the video's frames, -1 to 1: its query points are followed through them."""

    @torch.inference_mode()
    def decode_latents(self, latents: Tensor, image_tokens: Tensor) -> Tensor:
        """Frames [B, k, T, 3, h, w] to normalised tracks, float32 [B, k, T, 2, H, W]."""
        videos = ((latents + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(3, -1).cpu().numpy()
        grid, size = self.config.grid, self.config.image_size
        tracks = np.stack([[track_grid(video, grid, size) for video in samples] for samples in videos])
        return torch.from_numpy(normalise(tracks, size)).movedim(-1, 3)

    def known_frame(self, images: list[np.ndarray], image_tokens: Tensor) -> Tensor:
        frames = torch.from_numpy(resize_images(images, self.config.denoiser.grid))
        return signed_pixels(frames.to(self.device))[:, None]


class PixelForecaster(Forecaster):
    """A forecaster that generates the video."""

    generates = "pixels"
    sampler = FrameSampler


def track_grid(frames: np.ndarray, grid: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Tracks of a grid of points, followed by Lucas-Kanade through a video that is enlarged to `image_size` before.

    Args:
        frames: uint8 [T, h, w, 3]
        image_size: (height, width)

    Returns:
        float32 [T, rows, columns, 2], pixels at `image_size`.
    """
    enlarged = resize_images(list(frames), image_size)
    points = query_points(grid, image_size).reshape(-1, 2)
    tracks, _ = make_point_tracker("lucas_kanade").track(enlarged, points)
    return tracks.reshape(len(frames), *grid, 2)
