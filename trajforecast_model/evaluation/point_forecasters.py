"""What is evaluated: anything that forecasts a window's query points. The forecaster, and the baselines.

Each kind reads its points in its own way: from a dense forecast, or by asking for these points alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trajforecast_model.baselines.checkpoint import BaselineConfig, is_baseline, load_baseline
from trajforecast_model.baselines.track_transformer import TrackTransformer, signed_pixels
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.evaluation.windows import PROTOCOL_IMAGE_SIZE, MovingWindow
from trajforecast_model.forecaster import DTYPES, Forecaster
from trajforecast_model.images import resize_image
from trajforecast_model.networks.text_encoder import BertTextEncoder
from trajforecast_model.tracks.grid import rescale


@dataclass(frozen=True)
class PointForecast:
    """Sampled futures of a window's points, pixels at PROTOCOL_IMAGE_SIZE. One sample for a model that does not sample."""

    drawn: np.ndarray  # [k, T, P, 2], the drawn query points
    moving: np.ndarray | None  # [k, T, M, 2], all moving points; None for a model that is asked for single points


class PointForecaster(Protocol):
    model_id: str
    steps: int | None  # solver steps unless the caller says otherwise; None for a model without a solver

    def check_fit(self, data: DatasetInfo) -> None:
        """Raises ValueError where the model was made for other data."""

    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        """Forecasts of some windows, one seed each."""


def load_point_forecaster(checkpoint: str | Path, device: str, dtype: str) -> PointForecaster:
    """Raises ValueError where that is no checkpoint of the forecaster or of a baseline."""
    if not is_baseline(Path(checkpoint)):
        return DenseForecaster(Forecaster.from_pretrained(checkpoint, device=device, dtype=dtype))
    config, network = load_baseline(Path(checkpoint))
    return TrackTransformerForecaster(
        config, network.to(device, DTYPES[dtype]), BertTextEncoder(config.text_encoder), Path(checkpoint).name, device
    )


class DenseForecaster:
    """Our forecaster: the grid is forecast as a whole and read at the points."""

    def __init__(self, forecaster: Forecaster):
        self._forecaster = forecaster
        self.model_id, self.steps = forecaster.model_id, forecaster.config.steps

    def check_fit(self, data: DatasetInfo) -> None:
        config = self._forecaster.config
        _check_same(data, grid=config.grid, num_frames=config.num_frames, dt=config.dt)
        _check_views(data, config.views)

    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        images = np.stack([one.window.image for one in windows])
        tracks = self._forecaster.predict_batch(images, [one.window.instruction for one in windows], k, steps, seeds)
        tracks = rescale(tracks, images.shape[1:3], PROTOCOL_IMAGE_SIZE)
        flat = tracks.reshape(*tracks.shape[:3], -1, 2)  # [B, k, T, H * W, 2]
        return [
            PointForecast(samples[:, :, one.drawn], samples[:, :, one.moving])
            for samples, one in zip(flat, windows, strict=True)
        ]


class TrackTransformerForecaster:
    """ATM's track transformer: asked for the drawn points alone, with one future as the answer."""

    def __init__(
        self,
        config: BaselineConfig,
        network: TrackTransformer,
        text_encoder: BertTextEncoder,
        model_id: str = "",
        device: str | torch.device = "cpu",
    ):
        self.model_id, self.steps = model_id, None
        self._config, self._network, self._device = config, network, device
        self._text_encoder = text_encoder.to(device)

    def check_fit(self, data: DatasetInfo) -> None:
        _check_same(data, num_frames=self._network.config.num_frames, dt=self._config.dt)
        _check_views(data, self._config.views)

    @torch.inference_mode()
    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        network = self._network.config
        images = np.stack([resize_image(one.window.image, network.image_size) for one in windows])
        dtype = self._network.mask_token.dtype
        output = self._network(
            signed_pixels(torch.from_numpy(images).to(self._device)).to(dtype),
            self._query_points(windows).to(self._device, dtype),
            self._text_encoder([one.window.instruction for one in windows]).to(dtype),
        )
        height, width = PROTOCOL_IMAGE_SIZE
        pixels = output.tracks.float().cpu().numpy() * np.array([width, height], np.float32)
        return [
            PointForecast(drawn=points[None, :, : len(one.drawn)], moving=None)
            for points, one in zip(pixels, windows, strict=True)
        ]

    def _query_points(self, windows: list[MovingWindow]) -> Tensor:
        """[B, N, 2], 0 to 1; the points come again where a window has fewer than the network takes."""
        number, (height, width) = self._network.config.num_points, PROTOCOL_IMAGE_SIZE
        points = np.stack([np.resize(one.truth[0].reshape(-1, 2)[one.drawn], (number, 2)) for one in windows])
        return torch.from_numpy(points / np.array([width, height], np.float32))


def _check_same(data: DatasetInfo, **of_checkpoint) -> None:
    for name, theirs in of_checkpoint.items():
        ours = getattr(data, name)
        if ours != theirs:
            raise ValueError(
                f"the data has {name} {ours}, the checkpoint {theirs}; prepare the data with the checkpoint's {name}"
            )


def _check_views(data: DatasetInfo, known: tuple[str, ...]) -> None:
    unknown = set(data.views) - set(known)
    if unknown:
        raise ValueError(f"the data has views {sorted(unknown)} that the checkpoint was not trained on")
