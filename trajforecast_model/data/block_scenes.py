"""Block scenes (`trajforecast simulate --suite blocks`) as training windows: one window a rollout, all of one picture.

A scene is the unit of the split: the futures of a scene are all for training or all for validation.
"""

import numpy as np

from trajforecast_model.data.shards import DatasetInfo, Window
from trajforecast_model.images import resize_images
from trajforecast_model.sim.blocks.model import CAMERA, FRAMES_PER_SECOND, IMAGE_SIZE
from trajforecast_model.sim.blocks.rollout import NUM_FRAMES
from trajforecast_model.sim.blocks.scene_files import SimulatedScene
from trajforecast_model.sim.blocks.view import BlockView
from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses, focal_length, lift, project
from trajforecast_model.tracks.grid import query_points

GRID = (32, 32)
INFO = DatasetInfo(
    labeler="exact",
    stride=NUM_FRAMES,
    num_frames=NUM_FRAMES,
    grid=GRID,
    image_size=IMAGE_SIZE,
    dt=1 / FRAMES_PER_SECOND,
    views=(CAMERA,),
)
TASKS = {"seen": "blocks", "unseen": "blocks_unseen"}
_NEAR_MISS = 0.01  # metres that a seen point may lie behind what its ray meets; rays and points are exact


def scene_windows(simulated: SimulatedScene, frame_size: tuple[int, int] | None = None) -> list[Window]:
    """A window of every rollout, with exact tracks and visibility.

    Args:
        frame_size: (height, width) of the windows' frames; None leaves frames out, which saves drawing them.

    Raises:
        ValueError: if the states are not those of the scene.
    """
    scene = simulated.scene
    view = BlockView(scene.compile())
    windows = []
    for number, states in enumerate(simulated.states):
        tracks, visibility = track_rollout(view, states)
        windows.append(
            Window(
                task=TASKS[scene.primitives],
                demo=f"scene_{scene.seed:06d}_rollout_{number:03d}",
                start=0,
                view=CAMERA,
                instruction="",
                image=simulated.image,
                tracks=tracks,
                visibility=visibility,
                num_real_frames=len(states),
                frames=None if frame_size is None else resize_images(list(view.video(states)), frame_size),
            )
        )
    return windows


def track_rollout(view: BlockView, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact tracks of the 32x32 grid over the states [T, ...] of a rollout, and whether each point is seen.

    A point is seen where the ray through it meets nothing before it.

    Returns:
        tracks float32 [T, 32, 32, 2], pixels, equal to the query points at t = 0; visibility bool [T, 32, 32].
    """
    points = query_points(GRID, IMAGE_SIZE).reshape(-1, 2)
    height, width = IMAGE_SIZE
    tracks = np.empty((len(states), len(points), 2), np.float32)
    visibility = np.zeros((len(states), len(points)), bool)
    for t, state in enumerate(states):
        view.show(state)
        positions, rotations = view.body_poses()
        bodies = BodyPoses(positions[None], rotations[None])
        camera = CameraPoses(
            view.camera_position[None], view.camera_rotation[None], focal_length(view.field_of_view, height), IMAGE_SIZE
        )
        if t == 0:
            depth, body = view.cast_rays(points)
            local = lift(points.astype(np.float64), depth, body, camera, bodies, 0)
        pixels, distance = project(local, body, camera, bodies, 0)
        inside = (pixels >= 0).all(-1) & (pixels < [width, height]).all(-1) & (distance > 0)
        met, _ = view.cast_rays(pixels[inside])
        visibility[t, inside] = distance[inside] <= met + _NEAR_MISS
        tracks[t] = pixels
    tracks[0] = points
    return tracks.reshape(-1, *GRID, 2), visibility.reshape(-1, *GRID)
