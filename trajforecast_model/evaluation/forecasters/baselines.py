"""The baselines as the protocol asks them: a window's query points in, sampled futures of these points out."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from trajforecast_model.baselines.checkpoint import BaselineConfig
from trajforecast_model.baselines.ddpm import sample
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.evaluation.forecasters.points import PointForecast, check_same, check_views
from trajforecast_model.evaluation.windows import PROTOCOL_IMAGE_SIZE, QUERY_POINTS, MovingWindow
from trajforecast_model.flow.noise import sample_noise
from trajforecast_model.images import resize_image
from trajforecast_model.networks.image_encoder import signed_pixels
from trajforecast_model.networks.text_encoder import TextEncoder
from trajforecast_model.tracks.grid import denormalise, normalise


class BaselineForecaster:
    """A loaded baseline; what it forecasts is its kind's to say."""

    steps: int | None = None  # a baseline without a solver has none
    takes_history = False

    def __init__(
        self,
        config: BaselineConfig,
        network: nn.Module,
        text_encoder: TextEncoder,
        model_id: str = "",
        device: str | torch.device = "cpu",
    ):
        self.model_id = model_id
        self._config, self._network, self._device = config, network, device
        self._text_encoder = text_encoder.to(device)

    def check_fit(self, data: DatasetInfo) -> None:
        check_same(data, num_frames=self._network.config.num_frames, dt=self._config.dt)
        check_views(data, self._config.views)


class TrackTransformerForecaster(BaselineForecaster):
    """ATM's track transformer: asked for the drawn points alone, with one future as the answer."""

    def check_fit(self, data: DatasetInfo) -> None:
        super().check_fit(data)
        if self._network.config.num_points < QUERY_POINTS:
            raise ValueError(
                f"the network takes num_points {self._network.config.num_points}, the protocol asks for {QUERY_POINTS}; "
                "train one that takes as many"
            )

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


class TrackDiffusionForecaster(BaselineForecaster):
    """Track2Act's network: the motion of its fixed points, interpolated at the query points."""

    @property
    def steps(self) -> int:
        return self._network.config.sampling_steps

    def check_fit(self, data: DatasetInfo) -> None:
        super().check_fit(data)
        check_grid(self._network.config.grid, data.grid)

    @torch.inference_mode()
    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        network, dtype = self._network.config, self._network.positions.dtype
        images = np.stack([resize_image(one.window.image, network.image_size) for one in windows])
        condition = self._network.condition(
            signed_pixels(torch.from_numpy(images).to(self._device)).to(dtype),
            self._text_encoder([one.window.instruction for one in windows]).to(dtype),
        ).repeat_interleave(k, dim=0)  # [B * k, D]
        still = np.stack([fixed_points(one.truth[:1], network.grid) for one in windows])  # [B, 1, P, 2]
        first = torch.from_numpy(normalise(still, PROTOCOL_IMAGE_SIZE)).to(self._device).repeat_interleave(k, dim=0)
        shape = (network.num_frames - 1, still.shape[2], 2)

        def noise_in(unknown: Tensor, level: Tensor) -> Tensor:
            tracks = torch.cat([first, unknown], dim=1).to(dtype)
            return self._network(tracks, level, condition)[:, 1:].float()

        def noise(stream: str) -> Tensor:
            return torch.cat([sample_noise(seed, stream, k, shape) for seed in seeds]).to(self._device)

        steps = self.steps if steps is None else steps
        unknown = sample(
            noise_in, noise(""), lambda step: noise(f"step {step}"), steps, self._network.largest, network.first_level
        )
        tracks = (
            denormalise(self._network.positions_of(unknown, first), PROTOCOL_IMAGE_SIZE)
            .unflatten(0, (len(windows), k))
            .cpu()
            .numpy()
        )
        return [
            PointForecast(*(self._read(samples, points, one.truth[0], chosen) for chosen in (one.drawn, one.moving)))
            for samples, points, one in zip(tracks, still, windows, strict=True)
        ]

    def _read(self, samples: np.ndarray, still: np.ndarray, start: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """[k, T - 1, P, 2] tracks of the fixed points to [k, T, N, 2] of some points of the data's grid [H, W, 2]."""
        motion = (samples - still).reshape(*samples.shape[:2], *self._network.config.grid, 2)
        stride = start.shape[0] // motion.shape[2]
        rows, columns = np.divmod(chosen, start.shape[1])
        moved = bilinear(motion, rows / stride, columns / stride)
        points = start.reshape(-1, 2)[chosen]
        return np.concatenate([np.broadcast_to(points, (len(samples), 1, *points.shape)), points + moved], axis=1)


FORECASTERS: dict[str, type[BaselineForecaster]] = {
    "atm": TrackTransformerForecaster,
    "track2act": TrackDiffusionForecaster,
}


def fixed_points(tracks: Tensor | np.ndarray, grid: tuple[int, int]) -> Tensor | np.ndarray:
    """Every n-th point of dense tracks [..., H, W, 2] as [..., P, 2], P = rows * columns of `grid`."""
    stride = tracks.shape[-3] // grid[0]
    chosen = tracks[..., ::stride, ::stride, :]
    return chosen.reshape(*chosen.shape[:-3], -1, 2)


def check_grid(fixed: Sequence[int], data: Sequence[int]) -> None:
    """Raises ValueError where the fixed points are not every n-th of the data's."""
    if data[0] * fixed[1] != data[1] * fixed[0] or data[0] % fixed[0]:
        raise ValueError(f"the data's grid {tuple(data)} is not a multiple of the baseline's {tuple(fixed)}")


def bilinear(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values [..., R, C, 2] at N fractional rows and columns, [..., N, 2]; beyond the last ones, the last."""
    rows, columns = np.clip(rows, 0, values.shape[-3] - 1), np.clip(columns, 0, values.shape[-2] - 1)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    bottom, right = np.minimum(top + 1, values.shape[-3] - 1), np.minimum(left + 1, values.shape[-2] - 1)
    down, across = ((rows - top)[:, None], (columns - left)[:, None])
    upper = (1 - across) * values[..., top, left, :] + across * values[..., top, right, :]
    lower = (1 - across) * values[..., bottom, left, :] + across * values[..., bottom, right, :]
    return ((1 - down) * upper + down * lower).astype(values.dtype)
