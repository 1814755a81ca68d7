"""What an episode of a LeRobot dataset says of tracks: its features, and their values of a demo.

At each frame of a view, on a grid of R rows and C columns, in pixels of that view's stored picture:

observed_tracks.<view>                float32 [T, R, C, 2]     where its points go from there on; step 0 is where they are
observed_visibility.<view>            bool [T, R, C]
observed_steps                        int64 [1]                how many of the T were recorded; after these nothing moves
observation.past_tracks.<view>        float32 [P, R, C, 2]     where they were before, oldest first
observation.past_visibility.<view>    bool [P, R, C]
forecast_tracks.<view>                float32 [k, T, R, C, 2]  what a checkpoint forecast there
forecast_visibility.<view>            float32 [k, T, R, C]     how likely each is seen, where the checkpoint tells

Only what a policy may know at that frame is called an observation.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.kinds import Labeler
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.data.to_lerobot.dataset import IMAGE
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.images import resize_image
from trajforecast_model.tracks.grid import rescale

Values = dict[str, np.ndarray | list[bytes]]


@dataclass(frozen=True)
class Forecasting:
    """A model and how it is asked."""

    forecaster: Forecaster
    k: int
    steps: int | None
    seed: int

    def of(self, frames: dict[str, list[np.ndarray]], instruction: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """By view, for each frame: tracks [N, k, T, H, W, 2], pixels of its pictures, and visibility [N, k, T, H, W] or
        None. A model with a past is shown the frames before."""
        length, past = len(next(iter(frames.values()))), self.forecaster.history_frames
        made = []
        for now in range(length):
            before = range(max(0, now - past), now)
            history = {view: np.stack([video[frame] for frame in before]) for view, video in frames.items()} if len(
                before
            ) >= 2 else None  # fmt: skip
            made.append(
                self.forecaster.predict(
                    {view: video[now] for view, video in frames.items()},
                    instruction, self.k, self.steps, self.seed, history=history,
                )
            )  # fmt: skip
        told = made[0].visibility is not None
        return {
            view: (
                np.stack([forecast.tracks[index] for forecast in made]),
                np.stack([forecast.visibility[index] for forecast in made]) if told else None,
            )
            for index, view in enumerate(made[0].views)
        }


@dataclass(frozen=True)
class TrackFeatures:
    """Makes the values of one demo after another.

    Args:
        info: how demos are labelled: every frame, at the image size and grid of the model, if there is one.
        image_size: (height, width) of the pictures that are stored, in whose pixels the tracks are.
        grid: rows and columns that are kept of the labelled ones.
    """

    labeler: Labeler
    info: DatasetInfo
    image_size: tuple[int, int]
    grid: tuple[int, int]
    forecasting: Forecasting | None = None

    def values(self, demo: Demo) -> Values:
        """Raises ValueError where the demo cannot be labelled or forecast."""
        windows = self.labeler.label(_with_the_last_frame_twice(demo), self.info)
        by_view = {view: [window for window in windows if window.view == view] for view in self.info.views}
        frames = {view: [self._picture(demo, window) for window in each] for view, each in by_view.items()}
        starts = [window.start for window in by_view[self.info.views[0]]]
        values: Values = {
            f"observation.images.{view}": [_png(picture) for picture in pictures] for view, pictures in frames.items()
        }
        for view, each in by_view.items():
            values[f"observed_tracks.{view}"] = self._thinned(np.stack([window.tracks for window in each]))
            values[f"observed_visibility.{view}"] = self._kept(np.stack([window.visibility for window in each]))
            if self.info.history_frames:
                past = np.stack([window.history_tracks for window in each])
                seen = np.stack([window.history_visibility for window in each])
                values[f"observation.past_tracks.{view}"] = self._thinned(past)
                values[f"observation.past_visibility.{view}"] = self._kept(seen)
        values["observed_steps"] = np.minimum(self.info.num_frames, demo.num_frames - np.array(starts))
        if self.forecasting is not None:
            for view, (tracks, visibility) in self.forecasting.of(frames, demo.instruction).items():
                values[f"forecast_tracks.{view}"] = self._kept(tracks, spatial=-3)
                if visibility is not None:
                    values[f"forecast_visibility.{view}"] = self._kept(visibility)
        return values | {name: numbers[starts] for name, numbers in demo.numbers.items()}

    def features(self, values: Values) -> dict[str, dict]:
        """What `meta/info.json` says of them."""
        features = {}
        for name, array in values.items():
            view = name.rpartition(".")[2]
            if isinstance(array, list):
                shape = [*self.image_size, 3]
                features[name] = {"dtype": IMAGE, "shape": shape, "names": ["height", "width", "channels"]}
                continue
            shape = list(array.shape[1:]) or [1]
            features[name] = {"dtype": str(array.dtype), "shape": shape, "names": None}
            if name.startswith(("observed_", "forecast_", "observation.past_")) and view in self.info.views:
                features[name]["names"] = _AXES[len(shape) + ("tracks" not in name)][: len(shape)]
                features[name]["info"] = self._about(name, view)
        return features

    def _about(self, name: str, view: str) -> dict:
        about = {"pixels_of": f"observation.images.{view}", "seconds_between_steps": self.info.dt}
        if name.startswith("forecast_"):
            model = self.forecasting.forecaster.model_id
            return about | {"checkpoint": model, "seed": self.forecasting.seed}
        return about | {"labeler": self.info.labeler}

    def _picture(self, demo: Demo, window: Window) -> np.ndarray:
        """The recorded one, or what a simulator rendered in its place."""
        recorded = demo.image(window.view, window.start)
        return resize_image(window.image if recorded is None else recorded, self.image_size)

    def _thinned(self, tracks: np.ndarray) -> np.ndarray:
        """Labelled tracks [..., H, W, 2] on the grid that is kept, in pixels of the stored pictures."""
        kept = self._kept(tracks, spatial=-3)
        return rescale(kept, self.info.image_size, self.image_size).astype(np.float32)

    def _kept(self, values: np.ndarray, spatial: int = -2) -> np.ndarray:
        """From the middle of each block of the grid; `spatial` is the axis of its rows, and columns follow."""
        for axis, kept in enumerate(self.grid):
            step = values.shape[spatial + axis] // kept
            places = np.arange(step // 2, values.shape[spatial + axis], step)
            values = np.take(values, places, axis=spatial + axis)
        return values


_AXES = {4: ["step", "row", "column", "xy"], 5: ["sample", "step", "row", "column", "xy"]}


def _with_the_last_frame_twice(demo: Demo) -> Demo:
    """Labelers begin no window in the last frame, after which nothing moves; a dataset of episodes needs all of them."""
    last = demo.num_frames - 1
    images = {
        view: recorded | ({last + 1: recorded[last]} if last in recorded else {})
        for view, recorded in demo.images.items()
    }
    states = None if demo.states is None else np.concatenate([demo.states, demo.states[-1:]])
    return replace(demo, num_frames=demo.num_frames + 1, images=images, states=states)


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
