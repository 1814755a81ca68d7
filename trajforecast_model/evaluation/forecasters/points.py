"""What is evaluated: anything that forecasts a window's query points. The forecaster here, the baselines beside.

Each kind reads its points in its own way: from a dense forecast, or by asking for these points alone.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.evaluation.windows import PROTOCOL_IMAGE_SIZE, MovingWindow
from trajforecast_model.forecaster import Forecaster
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


class DenseForecaster:
    """Our forecaster: the grid is forecast as a whole and read at the points."""

    def __init__(self, forecaster: Forecaster):
        self._forecaster = forecaster
        self.model_id, self.steps = forecaster.model_id, forecaster.config.steps

    def check_fit(self, data: DatasetInfo) -> None:
        check_dense_fit(self._forecaster.config, data)

    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        images = np.stack([one.window.image for one in windows])
        tracks = self._forecaster.predict_batch(images, [one.window.instruction for one in windows], k, steps, seeds)
        tracks = rescale(tracks, images.shape[1:3], PROTOCOL_IMAGE_SIZE)
        flat = tracks.reshape(*tracks.shape[:3], -1, 2)  # [B, k, T, H * W, 2]
        return [
            PointForecast(samples[:, :, one.drawn], samples[:, :, one.moving])
            for samples, one in zip(flat, windows, strict=True)
        ]


def check_dense_fit(config: ForecastConfig, data: DatasetInfo) -> None:
    """Raises ValueError where a model of dense forecasts was made for other data."""
    check_same(data, grid=config.grid, num_frames=config.num_frames, dt=config.dt)
    check_views(data, config.views)


def check_same(data: DatasetInfo, **of_checkpoint) -> None:
    """Raises ValueError where the data has another value of one of the checkpoint's settings."""
    for name, theirs in of_checkpoint.items():
        ours = getattr(data, name)
        if ours != theirs:
            raise ValueError(
                f"the data has {name} {ours}, the checkpoint {theirs}; prepare the data with the checkpoint's {name}"
            )


def check_views(data: DatasetInfo, known: tuple[str, ...]) -> None:
    """Raises ValueError where the data has a view that the checkpoint was not trained on."""
    unknown = set(data.views) - set(known)
    if unknown:
        raise ValueError(f"the data has views {sorted(unknown)} that the checkpoint was not trained on")
