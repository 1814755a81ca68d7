"""Labels without estimation: tracks follow from depth and poses, which are recorded, or rendered as states are replayed."""

import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.exact_windows import SeenOnGrid, anchor_of, exact_windows
from trajforecast_model.data.labelers.recorded_geometry import windows_of_recorded_geometry
from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.data.windows import window_starts
from trajforecast_model.images import resize_image
from trajforecast_model.sim.mujoco_setup import configure_mujoco
from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses, Surface, focal_length
from trajforecast_model.tracks.grid import query_points


class ExactLabeler:
    """Replays the recorded states in the demo's own scene, unless the recording itself says where points are."""

    def __init__(self):
        self._replay = None
        self._loaded = None  # model and image size

    def label(self, demo: Demo, info: DatasetInfo) -> list[Window]:
        if demo.geometry:
            return windows_of_recorded_geometry(demo, info)
        for name, recorded in (("states", demo.states), ("model_file", demo.model_xml)):
            if recorded is None:
                raise ValueError(f"{demo.task} {demo.name} lacks {name}, which exact labels need; use a point tracker")
        self._load(demo.model_xml, info.image_size)
        starts = window_starts(demo.num_frames, info.stride)
        anchored = {anchor_of(start, info) for start in starts}
        shown = range(starts[-1] + 1) if info.history_pictures else starts
        points = query_points(info.grid, info.image_size)
        column, row = np.floor(points).astype(int).transpose(2, 0, 1)  # each [H, W]
        surface = _surface_points(info.grid, info.image_size)

        depth = {view: [] for view in info.views}
        surface_depth = {view: [] for view in info.views}
        body_at_anchor = {}
        images = {}
        body_positions, body_rotations = [], []
        camera_positions, camera_rotations = {view: [] for view in info.views}, {view: [] for view in info.views}
        for frame, state in enumerate(demo.states):
            self._replay.show(state)
            positions, rotations = self._replay.body_poses()
            body_positions.append(positions)
            body_rotations.append(rotations)
            for view in info.views:
                position, rotation = self._replay.camera_pose(view)
                camera_positions[view].append(position)
                camera_rotations[view].append(rotation)
                seen_depth, seen_body = self._replay.geometry(view)
                depth[view].append(seen_depth[row, column])
                if surface is not None:
                    surface_depth[view].append(_at(seen_depth, surface))
                if frame in anchored:
                    body_at_anchor[view, frame] = seen_body[row, column]
                if frame in shown:
                    images[view, frame] = self._image(demo, view, frame, info.image_size)

        bodies = BodyPoses(np.array(body_positions), np.array(body_rotations))
        seen = {
            view: SeenOnGrid(
                np.array(depth[view]),
                {frame: body_at_anchor[view, frame] for frame in anchored},
                CameraPoses(
                    np.array(camera_positions[view]),
                    np.array(camera_rotations[view]),
                    focal_length(self._replay.field_of_view(view), info.image_size[0]),
                    info.image_size,
                ),
                bodies,
                None if surface is None else Surface(surface, np.array(surface_depth[view])),
            )
            for view in info.views
        }
        return exact_windows(demo, info, seen, lambda view, frame: images[view, frame])

    def _load(self, model_xml: str, image_size: tuple[int, int]) -> None:
        """Demos of one task often share their scene, and loading one takes seconds."""
        configure_mujoco()
        from trajforecast_model.sim.scene.replay import Replay  # imports mujoco, which must be configured before

        if (model_xml, image_size) != self._loaded:
            if self._replay is not None:
                self._replay.close()
            self._loaded = None
            self._replay = Replay(model_xml, image_size)
            self._loaded = (model_xml, image_size)

    def _image(self, demo: Demo, view: str, frame: int, image_size: tuple[int, int]) -> np.ndarray:
        recorded = demo.image(view, frame)
        if recorded is None:
            return self._replay.image(view)
        return resize_image(recorded, image_size)


def _surface_points(grid: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray | None:
    """Where depth tells what hides a point, [h, w, 2] pixels: every other pixel, or every one of an odd side; None where
    the query points are as dense themselves. Between points further apart thin things would pass unseen."""
    sides = [(side // 2 if side % 2 == 0 else side) for side in image_size]
    dense = tuple(max(points, side) for points, side in zip(grid, sides, strict=True))
    return None if dense == tuple(grid) else query_points(dense, image_size)


def _at(depth: np.ndarray, points: np.ndarray) -> np.ndarray:
    column, row = np.floor(points).astype(int).transpose(2, 0, 1)
    return depth[row, column]
