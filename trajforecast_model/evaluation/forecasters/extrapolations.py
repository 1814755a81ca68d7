"""Forecasts without a network: nothing moves, or the motion of the past goes on. `--checkpoint` takes them by their names."""

from collections.abc import Callable
from functools import partial

import numpy as np

from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.evaluation.forecasters.points import PointForecast
from trajforecast_model.evaluation.windows import PROTOCOL_IMAGE_SIZE, MovingWindow
from trajforecast_model.tracks.extrapolation import DECAY, constant_velocity, last_motion_repeated
from trajforecast_model.tracks.grid import rescale

NOTHING_MOVES = "nothing_moves"
# Of the points now, where they were, where they were visible in that, and the number of frames, to tracks [T, ..., 2].
EXTRAPOLATIONS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]] = {
    "constant_velocity": constant_velocity,
    "constant_velocity_decaying": partial(constant_velocity, decay=DECAY),
    "last_motion_repeated": last_motion_repeated,
}
TITLES = {
    NOTHING_MOVES: "nothing moves",
    "constant_velocity": "constant velocity",
    "constant_velocity_decaying": f"constant velocity decaying by {DECAY} a step",
    "last_motion_repeated": "last motion repeated",
}


def extrapolated(window: Window, name: str) -> np.ndarray:
    """The tracks of a window by one of TITLES: float32 [T, H, W, 2], px of its image.

    Without a history, and where it is masked, nothing moves.
    """
    tracks = extrapolated_at(window, name, np.arange(window.tracks[0, ..., 0].size))
    return tracks.reshape(window.tracks.shape)


def extrapolated_at(window: Window, name: str, chosen: np.ndarray) -> np.ndarray:
    """As `extrapolated`, at some points of the flattened grid, int [P]: float32 [T, P, 2]."""
    num_frames, points = len(window.tracks), window.tracks[0].reshape(-1, 2)[chosen]
    if name == NOTHING_MOVES or window.history_tracks is None:
        return np.repeat(points[None], num_frames, axis=0)
    past = len(window.history_tracks)
    tracks = window.history_tracks.reshape(past, -1, 2)[:, chosen]
    visible = window.history_visibility.reshape(past, -1)[:, chosen]
    return EXTRAPOLATIONS[name](points, tracks, visible, num_frames)


class ExtrapolationForecaster:
    """One of TITLES, read at a window's points."""

    steps = None  # it has no solver

    def __init__(self, name: str):
        self.model_id = name
        self.takes_history = name != NOTHING_MOVES

    def check_fit(self, data: DatasetInfo) -> None:
        check_history(data, self.model_id)

    def forecast(self, windows: list[MovingWindow], k: int, steps: int | None, seeds: list[int]) -> list[PointForecast]:
        return [self._forecast(one) for one in windows]

    def _forecast(self, one: MovingWindow) -> PointForecast:
        size = one.dataset.info.image_size
        return PointForecast(
            *(
                rescale(extrapolated_at(one.window, self.model_id, chosen), size, PROTOCOL_IMAGE_SIZE)[None]
                for chosen in (one.drawn, one.moving)
            )
        )


def check_history(data: DatasetInfo, name: str) -> None:
    """Raises ValueError where an extrapolation has nothing to go on."""
    if name != NOTHING_MOVES and not data.history_frames:
        raise ValueError(f"{name}: the data has no history; prepare it with --history N, N frames before every window")
