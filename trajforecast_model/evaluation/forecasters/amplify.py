"""AMPLIFY as the protocol asks it: one code is of all views at once, and its tracks start from a grid of its own."""

import numpy as np
import torch
from torch import Tensor

from trajforecast_model.conversion.amplify import Amplify, AmplifyConfig
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.evaluation.forecasters.baselines import bilinear
from trajforecast_model.evaluation.forecasters.points import PointForecast, check_same, check_views
from trajforecast_model.evaluation.windows import PROTOCOL_IMAGE_SIZE, MovingWindow
from trajforecast_model.images import resize_image


class AmplifyForecaster:
    """Through `AMPLIFY.predict_traj`: the motion of its grid's points, interpolated at the query points.

    A window is of one view. The others' images of the same moment come from the same data; their tracks are left alone.
    """

    steps = None  # it has no solver
    takes_history = False

    def __init__(self, config: AmplifyConfig, amplify: Amplify, model_id: str = "", device: str | torch.device = "cpu"):
        self.model_id = model_id
        self._config, self._amplify, self._device = config, amplify, torch.device(device)
        self._grid = QueryGrid(amplify.queries.numpy())

    def check_fit(self, data: DatasetInfo) -> None:
        check_same(data, num_frames=self._amplify.num_frames, dt=self._config.dt)
        check_views(data, self._amplify.views)
        unseen = set(self._amplify.views) - set(data.views)
        if unseen:
            raise ValueError(
                f"the data has no view {sorted(unseen)}; this model looks at {self._amplify.views} at once"
            )

    @torch.inference_mode()
    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        if self._config.sampling == "argmax":
            forecasts = self._motion(windows)[:, None]  # [B, 1, V, T, N, 2]
        else:
            forecasts = [self._sampled_motion(one, k, seed) for one, seed in zip(windows, seeds, strict=True)]
        return [
            PointForecast(*(self._read(motion, one, chosen) for chosen in (one.drawn, one.moving)))
            for motion, one in zip(forecasts, windows, strict=True)
        ]

    def _motion(self, windows: list[MovingWindow]) -> np.ndarray:
        """[B, V, T, N, 2], (row, column) from the start, in half sides of the image."""
        views = self._amplify.views
        images = torch.from_numpy(np.stack([self._images(one) for one in windows])).to(self._device).float() / 255
        start = self._amplify.queries.to(self._device).expand(len(windows), len(views), 1, -1, -1)
        instructions = [one.window.instruction for one in windows]
        tracks = self._amplify.model.predict_traj(
            images, start, instructions, self._text_embeddings(instructions), ar_sampling=self._config.sampling
        )
        return (tracks - start).cpu().numpy()

    def _sampled_motion(self, window: MovingWindow, k: int, seed: int) -> np.ndarray:
        """[k, V, T, N, 2]; its codes are drawn by PyTorch's own generator, which is put back after."""
        on_gpu = self._device.type == "cuda"
        with torch.random.fork_rng([self._device] if on_gpu else []):
            torch.manual_seed(seed)
            return self._motion([window] * k)

    def _images(self, window: MovingWindow) -> np.ndarray:
        """[V, h, w, 3]"""
        images = window.images()
        missing = [view for view in self._amplify.views if view not in images]
        if missing:
            one = window.window
            raise ValueError(f"{one.task} {one.demo} has no {', '.join(missing)} view of frame {one.start}")
        return np.stack([resize_image(images[view], self._amplify.image_size) for view in self._amplify.views])

    def _text_embeddings(self, instructions: list[str]) -> Tensor | None:
        """[B, E]; None where the model embeds the text itself."""
        return self._amplify.text_encoder(instructions) if self._amplify.model.text_encoder is None else None

    def _read(self, motion: np.ndarray, window: MovingWindow, chosen: np.ndarray) -> np.ndarray:
        """[k, V, T, N, 2] of its grid to tracks [k, T, P, 2] of some points of the window."""
        points = window.truth[0].reshape(-1, 2)[chosen]
        view = self._amplify.views.index(window.window.view)
        return points + self._grid.read(motion[:, view], points)


class QueryGrid:
    """AMPLIFY's query points, which come in any order, as rows and columns.

    Args:
        queries: [N, 2] (row, column), -1 to 1.

    Raises:
        ValueError: where they are no grid.
    """

    def __init__(self, queries: np.ndarray):
        row, column = queries.round(5).T  # the same number may come out with another last digit in another place
        self._order = np.lexsort((column, row))
        self._rows, self._columns = np.unique(row), np.unique(column)
        if len(self._rows) * len(self._columns) != len(queries):
            found = f"{len(queries)} query points at {len(self._rows)} rows and {len(self._columns)} columns"
            raise ValueError(f"amplify: {found} are no grid")

    def read(self, motion: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Motion [..., N, 2] of its points to that at `points` [P, 2], both in pixels at PROTOCOL_IMAGE_SIZE as (x, y)."""
        height, width = PROTOCOL_IMAGE_SIZE
        pixels = motion[..., self._order, ::-1] * np.array([width / 2, height / 2], np.float32)
        grid = pixels.reshape(*motion.shape[:-2], len(self._rows), len(self._columns), 2)
        # Where its training tracks started: CoTracker, which made them, has its origin at the first pixel's centre.
        row_pixels, column_pixels = (self._rows + 1) * height / 2 + 0.5, (self._columns + 1) * width / 2 + 0.5
        rows = np.interp(points[:, 1], row_pixels, np.arange(len(row_pixels)))
        columns = np.interp(points[:, 0], column_pixels, np.arange(len(column_pixels)))
        return bilinear(grid, rows, columns)
