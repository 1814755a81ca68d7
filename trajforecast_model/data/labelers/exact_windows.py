"""Windows of exact tracks, of what is seen at the query points of each frame."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.data.windows import frames_between, history_frames, history_of, window_frames, window_starts
from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses, Surface, exact_tracks
from trajforecast_model.tracks.grid import query_points, rescale


@dataclass(frozen=True)
class SeenOnGrid:
    """What one camera sees at a dataset's query points. Its pictures may be of another size than the dataset's."""

    depth: np.ndarray  # [frames, H, W], metres along the optical axis
    body: Mapping[int, np.ndarray]  # [H, W] at the frames in which windows are anchored, index into the bodies
    camera: CameraPoses
    bodies: BodyPoses
    surface: Surface | None  # what may hide a point; None for the query points themselves


def anchor_of(start: int, info: DatasetInfo) -> int:
    """The frame in which the points of a window form the grid."""
    return max(0, start - info.history_frames) if info.anchor == "first" else start


def grid_points(info: DatasetInfo, camera_size: tuple[int, int]) -> np.ndarray:
    """The query points [H, W, 2] in pixels of the camera's pictures."""
    return rescale(query_points(info.grid, info.image_size), info.image_size, camera_size)


def exact_windows(
    demo: Demo, info: DatasetInfo, seen: dict[str, SeenOnGrid], image: Callable[[str, int], np.ndarray]
) -> list[Window]:
    """The demo's windows in order of start and view.

    Args:
        image: gives the picture of a view and frame, uint8 [*info.image_size, 3].
    """
    windows = []
    for start in window_starts(demo.num_frames, info.stride):
        frames, num_real = window_frames(start, demo.num_frames, info.num_frames)
        past, num_past = history_frames(start, info.history_frames)
        between = frames_between(start, start - info.stride if start else None, info.history_frames)
        anchor = anchor_of(start, info)
        for view in info.views:
            view_seen = seen[view]
            camera = view_seen.camera
            # The points ride on their bodies into the past as they do into the future.
            tracks, visibility = (
                part[1:]
                for part in exact_tracks(
                    grid_points(info, camera.image_size),
                    view_seen.depth,
                    view_seen.body[anchor],
                    camera,
                    view_seen.bodies,
                    [anchor, *frames, *past],
                    view_seen.surface,
                )
            )
            tracks = rescale(tracks, camera.image_size, info.image_size)
            length = info.num_frames
            windows.append(
                Window(
                    task=demo.task,
                    demo=demo.name,
                    start=start,
                    view=view,
                    instruction=demo.instruction,
                    image=image(view, start),
                    tracks=tracks[:length],
                    visibility=visibility[:length],
                    num_real_frames=num_real,
                    **history_of(tracks[length:], visibility[length:], num_past),
                    pictures_between=tuple(image(view, frame) for frame in between) if info.history_pictures else None,
                )
            )
    return windows
