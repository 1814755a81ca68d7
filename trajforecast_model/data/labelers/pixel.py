"""Labels from pixels alone: a point tracker follows the grid of each window's first frame through the window, and back."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.trackers.interface import PointTracker
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.data.windows import frames_between, history_frames, history_of, window_frames, window_starts
from trajforecast_model.images import resize_image
from trajforecast_model.tracks.grid import query_points


class PixelLabeler:
    """Any point tracker as a labeler."""

    def __init__(self, tracker: PointTracker):
        self._tracker = tracker

    def label(self, demo: Demo, info: DatasetInfo) -> list[Window]:
        videos = {view: _video(demo, view, info.image_size) for view in info.views}
        first = min(videos[info.views[0]])
        points = query_points(info.grid, info.image_size)
        starts = [start for start in window_starts(demo.num_frames, info.stride) if start >= first]
        window = self._window if info.anchor == "present" else self._anchored_in_the_past
        windows = [window(demo, view, videos[view], start, points, info) for start in starts for view in info.views]
        if not info.history_pictures:
            return windows
        before = dict(zip(starts[1:], starts, strict=False))
        return [
            replace(window, pictures_between=tuple(videos[window.view][frame] for frame in between))
            for window in windows
            for between in [frames_between(window.start, before.get(window.start), info.history_frames, first)]
        ]

    def _window(
        self, demo: Demo, view: str, video: dict[int, np.ndarray], start: int, points: np.ndarray, info: DatasetInfo
    ) -> Window:
        frames, num_real = window_frames(start, demo.num_frames, info.num_frames)
        tracks, visible = self._followed(video, frames[:num_real], points)
        # The last frame is repeated by its tracks: no tracker moves a point between two equal pictures but by mistake.
        kept = np.minimum(np.arange(info.num_frames), num_real - 1)
        return Window(
            task=demo.task,
            demo=demo.name,
            start=start,
            view=view,
            instruction=demo.instruction,
            image=video[start],
            tracks=tracks[kept].reshape(info.num_frames, *info.grid, 2).astype(np.float32),
            visibility=visible[kept].reshape(info.num_frames, *info.grid),
            num_real_frames=num_real,
            **self._history(video, start, points, info),
        )

    def _history(self, video: dict[int, np.ndarray], start: int, points: np.ndarray, info: DatasetInfo) -> dict:
        """The points followed back in time, from the window's first frame."""
        if not info.history_frames:
            return {}
        real = [frame for frame in range(start - 1, start - 1 - info.history_frames, -1) if frame in video]
        tracks, visible = self._followed(video, (start, *real), points)
        # Oldest first; before the recording began the oldest positions are repeated, masked.
        kept = np.minimum(np.arange(info.history_frames, 0, -1), len(real))
        shape = (info.history_frames, *info.grid)
        return history_of(tracks[kept].reshape(*shape, 2).astype(np.float32), visible[kept].reshape(shape), len(real))

    def _anchored_in_the_past(
        self, demo: Demo, view: str, video: dict[int, np.ndarray], start: int, points: np.ndarray, info: DatasetInfo
    ) -> Window:
        """The points of the first frame of the window's history, followed forward to the present and on."""
        frames, num_real = window_frames(start, demo.num_frames, info.num_frames)
        past, num_past = history_frames(start, info.history_frames, first=min(video))
        real = range(past[0] if past else start, start + num_real)
        tracks, visible = self._followed(video, real, points)
        kept = [real.index(frame) for frame in (*past, *frames)]
        tracks = tracks[kept].reshape(-1, *info.grid, 2).astype(np.float32)
        visible = visible[kept].reshape(-1, *info.grid)
        return Window(
            task=demo.task,
            demo=demo.name,
            start=start,
            view=view,
            instruction=demo.instruction,
            image=video[start],
            tracks=tracks[len(past) :],
            visibility=visible[len(past) :],
            num_real_frames=num_real,
            **history_of(tracks[: len(past)], visible[: len(past)], num_past),
        )

    def _followed(
        self, video: dict[int, np.ndarray], frames: Sequence[int], points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The grid of the first of these frames in each of them: [T, N, 2] pixels, bool [T, N]."""
        flat = points.reshape(-1, 2)
        if len(frames) == 1:  # trackers are made for videos
            return flat[None].copy(), np.ones((1, len(flat)), bool)
        return self._tracker.track(np.stack([video[frame] for frame in frames]), flat)


def _video(demo: Demo, view: str, size: tuple[int, int]) -> dict[int, np.ndarray]:
    """The frames by number, without a gap up to the last. Raises ValueError where there are none."""
    recorded = demo.images.get(view, {})
    if not recorded or sorted(recorded) != list(range(min(recorded), demo.num_frames)):
        raise ValueError(
            f"{demo.task} {demo.name} has {len(recorded)} images of the view {view} for {demo.num_frames} frames, and "
            "a point tracker needs them; use --labeler exact where the recording has states, or leave the view out"
        )
    return {frame: resize_image(image, size) for frame, image in recorded.items()}
