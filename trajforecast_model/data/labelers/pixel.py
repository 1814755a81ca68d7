"""Labels from pixels alone: a point tracker follows the grid of each window's first frame through the window, and back."""

import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.trackers.interface import PointTracker
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.data.windows import history_of, window_frames, window_starts
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
        return [
            self._window(demo, view, videos[view], start, points, info)
            for start in window_starts(demo.num_frames, info.stride)
            if start >= first
            for view in info.views
        ]

    def _window(
        self, demo: Demo, view: str, video: dict[int, np.ndarray], start: int, points: np.ndarray, info: DatasetInfo
    ) -> Window:
        frames, num_real = window_frames(start, demo.num_frames, info.num_frames)
        real = np.stack([video[frame] for frame in frames[:num_real]])  # [num_real, height, width, 3]
        tracks, visible = self._tracker.track(real, points.reshape(-1, 2))
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
        tracks, visible = self._tracker.track(
            np.stack([video[frame] for frame in (start, *real)]), points.reshape(-1, 2)
        )
        # Oldest first; before the recording began the oldest positions are repeated, masked.
        kept = np.minimum(np.arange(info.history_frames, 0, -1), len(real))
        shape = (info.history_frames, *info.grid)
        return history_of(tracks[kept].reshape(*shape, 2).astype(np.float32), visible[kept].reshape(shape), len(real))


def _video(demo: Demo, view: str, size: tuple[int, int]) -> dict[int, np.ndarray]:
    """The frames by number, without a gap up to the last. Raises ValueError where there are none."""
    recorded = demo.images.get(view, {})
    if not recorded or sorted(recorded) != list(range(min(recorded), demo.num_frames)):
        raise ValueError(
            f"{demo.task} {demo.name} has {len(recorded)} images of the view {view} for {demo.num_frames} frames, and "
            "a point tracker needs them; use --labeler exact where the recording has states, or leave the view out"
        )
    return {frame: resize_image(image, size) for frame, image in recorded.items()}
