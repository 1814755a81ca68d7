"""What the benchmark asks a checkpoint for: one future of every point of a window."""

from pathlib import Path

import numpy as np

from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.evaluation.forecasters.extrapolations import NOTHING_MOVES, check_history, extrapolated
from trajforecast_model.evaluation.forecasters.models import is_extrapolation, load_dense_forecaster
from trajforecast_model.evaluation.forecasters.points import check_dense_fit, predict_windows, takes_history
from trajforecast_model.evaluation.trajloom.reconstruction import reconstructed
from trajforecast_model.evaluation.windows import stable_number

RECONSTRUCTION = "the true tracks through its VAE"


class WindowModel:
    """A model that forecasts a whole grid, or an extrapolation.

    Raises:
        ValueError: where the checkpoint is of another kind, or was made for other data.
    """

    def __init__(
        self, checkpoint: str | Path, data: DatasetInfo, device: str, dtype: str, steps: int | None, seed: int
    ):
        self._seed = seed
        if is_extrapolation(checkpoint):
            self.name, self.steps, self._forecaster = str(checkpoint), None, None
            check_history(data, self.name)
            self.takes_history = self.name != NOTHING_MOVES
            if steps is not None:
                raise ValueError(f"steps: got {steps}, but {self.name} has no solver; leave --steps out")
            return
        self._forecaster = load_dense_forecaster(checkpoint, device, dtype)
        check_dense_fit(self._forecaster.config, data)
        self.name = self._forecaster.model_id
        self.steps = self._forecaster.config.steps if steps is None else steps
        self.takes_history = takes_history(self._forecaster)

    def forecasts(self, windows: list[Window]) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray | None]]]:
        """Of every window, tracks [T, H, W, 2] px of its image by row, and which points are then visible, bool [T, H, W].

        Raises:
            ValueError: for a forecast that is not finite.
        """
        if self._forecaster is None:
            return [({self.name: extrapolated(window, self.name)}, {}) for window in windows]
        seeds = [stable_number(window, self._seed) for window in windows]
        tracks, visibility = predict_windows(self._forecaster, windows, 1, self.steps, seeds)
        if not np.isfinite(tracks).all():
            raise ValueError(
                f"{self.name} forecasts values that are not finite; its weights are damaged, or overflow in this dtype: "
                "try float32"
            )
        again = reconstructed(self._forecaster, windows)
        made = []
        for number in range(len(windows)):
            rows = {self.name: tracks[number, 0]}
            if again is not None:
                rows[RECONSTRUCTION] = again[number]
            made.append((rows, {} if visibility is None else {self.name: visibility[number, 0] > 0.5}))
        return made
