"""Exact tracks of recordings that tell depth, bodies and poses themselves."""

import numpy as np

from trajforecast_model.data.demo import Demo, SeenGeometry
from trajforecast_model.data.labelers.exact_windows import SeenOnGrid, anchor_of, exact_windows, grid_points
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.data.windows import window_starts
from trajforecast_model.images import resize_image
from trajforecast_model.tracks.exact_tracks import Surface
from trajforecast_model.tracks.grid import query_points


def windows_of_recorded_geometry(demo: Demo, info: DatasetInfo) -> list[Window]:
    """Raises ValueError for a view of which the recording has no geometry."""
    missing = [view for view in info.views if view not in demo.geometry]
    if missing:
        raise ValueError(f"{demo.task} {demo.name} has no geometry of the view {missing[0]}; use a point tracker")
    anchors = {anchor_of(start, info) for start in window_starts(demo.num_frames, info.stride)}
    seen = {view: _on_grid(demo.geometry[view], anchors, info) for view in info.views}
    return exact_windows(
        demo, info, seen, lambda view, frame: resize_image(demo.images[view][frame], info.image_size)
    )  # fmt: skip


def _on_grid(geometry: SeenGeometry, anchors: set[int], info: DatasetInfo) -> SeenOnGrid:
    size = geometry.camera.image_size
    column, row = np.floor(grid_points(info, size)).astype(int).transpose(2, 0, 1)  # each [H, W]
    return SeenOnGrid(
        geometry.depth[:, row, column],
        {anchor: geometry.body[anchor][row, column] for anchor in anchors},
        geometry.camera,
        geometry.bodies,
        Surface(query_points(size, size), geometry.depth, geometry.body),
    )
