"""An episode of a few frames whose motion is known on paper: a wall that slides sideways before a camera at rest."""

import numpy as np

from trajforecast_model.data.episode import Episode, ViewGeometry
from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses

FRAMES, GRID, SIZE = 20, (64, 64), (32, 32)
PIXELS_PER_FRAME = 1.5  # of a 128-pixel image, to the right


def small_episode(instruction: str = "push the wall") -> Episode:
    """The wall is 2 m away; the camera's focal length is 100 pixels of 128, so 3 cm move a point by 1.5 pixels."""
    steps = np.arange(FRAMES)
    positions = np.zeros((FRAMES, 1, 3))
    positions[:, 0, 0] = steps * PIXELS_PER_FRAME * 2.0 / 100
    bodies = BodyPoses(positions, np.tile(np.eye(3), (FRAMES, 1, 1, 1)))
    camera = CameraPoses(np.zeros((FRAMES, 3)), np.tile(np.eye(3), (FRAMES, 1, 1)), 100.0, (128, 128))
    seen = ViewGeometry(np.full((FRAMES, *GRID), 2.0, np.float32), np.zeros((FRAMES, *GRID), np.uint8), camera)
    # A frame's brightness tells which one it is.
    pictures = np.broadcast_to((40 + 8 * steps)[:, None, None, None], (FRAMES, *SIZE, 3)).astype(np.uint8)
    views = ("side", "effector")
    return Episode(instruction, 0.05, "made up", dict.fromkeys(views, pictures), dict.fromkeys(views, seen), bodies)
