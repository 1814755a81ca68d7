"""The flow's space of the ablation in the paper's table 6: the video's pixels, so that tracks have to be read off them."""

from torch import Tensor

from trajforecast_model.networks.image_encoder import signed_pixels
from trajforecast_model.training.batches import Batch
from trajforecast_model.training.noise import WindowNoise


class PixelSpace:
    """Frames, -1 black to 1 white."""

    def sample(self, batch: Batch, tokens: Tensor, noise: WindowNoise) -> Tensor:
        """float32 [B, T, 3, h, w]; nothing about frames is drawn."""
        return signed_pixels(batch.frames)

    def first_frame(self, batch: Batch, tokens: Tensor) -> Tensor:
        """The known first frame, float32 [B, 1, 3, h, w]."""
        return signed_pixels(batch.frames[:, :1])
