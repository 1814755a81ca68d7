"""What is evaluated: anything that forecasts a window's query points. The forecaster here, the baselines beside.

Each kind reads its points in its own way: from a dense forecast, or by asking for these points alone.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trajforecast_model.checkpoint import ForecastConfig
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.evaluation.windows import PROTOCOL_IMAGE_SIZE, MovingWindow
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.history import History
from trajforecast_model.trajloom.checkpoint import TrajloomConfig
from trajforecast_model.trajloom.dense import check_points, check_reach
from trajforecast_model.trajloom.forecaster import TrajloomForecaster


@dataclass(frozen=True)
class PointForecast:
    """Sampled futures of a window's points, pixels at PROTOCOL_IMAGE_SIZE. One sample for a model that does not sample."""

    drawn: np.ndarray  # [k, T, P, 2], the drawn query points
    moving: np.ndarray | None  # [k, T, M, 2], all moving points; None for a model that is asked for single points
    visibility: np.ndarray | None = (
        None  # [T, H * W] probability, all points of the grid; None where it is not forecast
    )


class PointForecaster(Protocol):
    model_id: str
    steps: int | None  # solver steps unless the caller says otherwise; None for a model without a solver
    takes_history: bool  # whether it looks at where a window's points were before

    def check_fit(self, data: DatasetInfo) -> None:
        """Raises ValueError where the model was made for other data."""

    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        """Forecasts of some windows, one seed each."""


class DenseForecaster:
    """Our forecaster, or TrajLoom's: the grid is forecast as a whole and read at the points."""

    def __init__(self, forecaster: Forecaster | TrajloomForecaster):
        self._forecaster = forecaster
        self.model_id, self.steps = forecaster.model_id, forecaster.config.steps
        self.takes_history = takes_history(forecaster)

    def check_fit(self, data: DatasetInfo) -> None:
        check_dense_fit(self._forecaster.config, data)

    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        tracks, visibility = predict_windows(self._forecaster, [one.window for one in windows], k, steps, seeds)
        tracks = rescale(tracks, windows[0].window.image.shape[:2], PROTOCOL_IMAGE_SIZE)
        flat = tracks.reshape(*tracks.shape[:3], -1, 2)  # [B, k, T, H * W, 2]
        seen = [None] * len(windows)
        if visibility is not None:
            seen = visibility.mean(axis=1).reshape(*flat.shape[:1], *flat.shape[2:4])  # [B, T, H * W]
        return [
            PointForecast(samples[:, :, one.drawn], samples[:, :, one.moving], probability)
            for samples, probability, one in zip(flat, seen, windows, strict=True)
        ]


def takes_history(forecaster: Forecaster | TrajloomForecaster) -> bool:
    """Whether it looks at where a window's points were before."""
    return forecaster.history_frames > 0


def predict_windows(
    forecaster: Forecaster | TrajloomForecaster, windows: list[Window], k: int, steps: int | None, seeds: list[int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Forecasts of whole windows, of their pictures and instructions and, where the model looks at it, their past.

    Returns:
        float32 [B, k, T, H, W, 2], px of the windows' images, and the probability [B, k, T, H, W] that a point is
        visible, where the model forecasts it.
    """
    images = np.stack([window.image for window in windows])
    past = {}
    if takes_history(forecaster) and windows[0].history_tracks is not None:
        tracks, visible = zip(*((window.history_tracks, window.history_visibility) for window in windows), strict=True)
        past["history"] = History(np.stack(tracks), np.stack(visible))
    instructions = [window.instruction for window in windows]
    return forecaster.forecast_batch(images, instructions, k, steps, seeds, **past)


def check_dense_fit(config: ForecastConfig | TrajloomConfig, data: DatasetInfo) -> None:
    """Raises ValueError where a model of dense forecasts was made for other data."""
    if isinstance(config, TrajloomConfig):
        check_same(data, num_frames=config.num_frames, dt=config.dt)
        check_points(data.grid, data.image_size, config)
        check_reach(data.history_frames, config)
        return
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
