"""What a forecaster's track VAE makes of the true tracks: the paper's VEPE is of that."""

import numpy as np
import torch

from trajforecast_model.data.shards import Window
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.networks.track_vae import TrackVAE
from trajforecast_model.tracks.grid import denormalise, normalise
from trajforecast_model.trajloom.dense import turns
from trajforecast_model.trajloom.forecaster import TrajloomForecaster
from trajforecast_model.trajloom.past import in_pixels, normalised


def reconstructed(forecaster: Forecaster | TrajloomForecaster, windows: list[Window]) -> np.ndarray | None:
    """The tracks of some windows encoded (by the mean) and decoded: float32 [B, T, H, W, 2], px. None without such a VAE."""
    if isinstance(forecaster, TrajloomForecaster):
        return _future_reconstructed(forecaster, windows)
    vae = forecaster.vae
    if not isinstance(vae, TrackVAE):
        return None
    size = windows[0].image.shape[:2]
    tokens = forecaster.encode_images([window.image for window in windows])
    tracks = torch.from_numpy(np.stack([normalise(window.tracks, size) for window in windows])).to(forecaster.device)
    with torch.inference_mode():
        mean, _ = vae.encode(tracks.movedim(-1, 2), tokens)
        return denormalise(vae.decode(mean, tokens).movedim(2, -1), size).float().cpu().numpy()


def _future_reconstructed(forecaster: TrajloomForecaster, windows: list[Window]) -> np.ndarray | None:
    """As TrajLoom encodes it, without the present frame, which stays; None where its VAE knows one of a cell's points alone."""
    vae, config, size = forecaster.vae, forecaster.config, windows[0].image.shape[:2]
    tracks = np.stack([window.tracks for window in windows])  # [B, T, H, W, 2]
    if not config.any_point and tracks.shape[2:4] != config.grid:
        return None
    again = tracks.copy()
    for rows, columns in turns(tracks.shape[2:4], config):
        future = torch.from_numpy(normalised(tracks[:, 1:, rows, columns], size, config.image_size)).movedim(-1, 2)
        with torch.inference_mode():
            mean, _ = vae.encode(future.to(forecaster.device))
            decoded = vae.decode(mean).float().movedim(2, -1).cpu().numpy()
        again[:, 1:, rows, columns] = in_pixels(decoded, size, config.image_size)
    return again
