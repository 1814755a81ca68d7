"""What a forecaster's track VAE makes of the true tracks: the paper's VEPE is of that."""

import numpy as np
import torch

from trajforecast_model.data.shards import Window
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.tracks.grid import denormalise, normalise


@torch.inference_mode()
def reconstructed(forecaster: Forecaster, windows: list[Window]) -> np.ndarray | None:
    """The tracks of some windows encoded (by the mean) and decoded: float32 [B, T, H, W, 2], px. None without such a VAE."""
    vae = forecaster.vae
    if not isinstance(vae, TrackVAE):
        return None
    size = windows[0].image.shape[:2]
    tokens = forecaster.encode_images([window.image for window in windows])
    tracks = torch.from_numpy(np.stack([normalise(window.tracks, size) for window in windows])).to(forecaster.device)
    mean, _ = vae.encode(tracks.movedim(-1, 2), tokens)
    return denormalise(vae.decode(mean, tokens).movedim(2, -1), size).float().cpu().numpy()
