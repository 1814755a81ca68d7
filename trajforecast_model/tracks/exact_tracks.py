"""Exact tracks from geometry: points of the first frame ride on the bodies they lie on, into every later frame.

Camera frames are MuJoCo's: x right, y up, looking along -z. Pixels: (0, 0) is the corner of the top-left pixel.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CameraPoses:
    """One camera over N frames."""

    positions: np.ndarray  # [N, 3], world
    rotations: np.ndarray  # [N, 3, 3], camera to world
    focal: float  # pixels, at the image size that the tracks refer to
    image_size: tuple[int, int]  # height, width


@dataclass(frozen=True)
class BodyPoses:
    """Every body over N frames."""

    positions: np.ndarray  # [N, bodies, 3], world
    rotations: np.ndarray  # [N, bodies, 3, 3], body to world


@dataclass(frozen=True)
class Surface:
    """What a camera sees nearest, over N frames, on a regular grid of pixels that may be denser than the query points."""

    points: np.ndarray  # [h, w, 2], pixels
    depth: np.ndarray  # [N, h, w], metres along the optical axis
    body: np.ndarray | None = None  # [N, h, w], whose it is, where that is known everywhere


def focal_length(fovy_degrees: float, height: int) -> float:
    """Focal length in pixels of a camera with this vertical field of view."""
    return 0.5 * height / np.tan(np.deg2rad(fovy_degrees) / 2)


def lift(
    points: np.ndarray, depth: np.ndarray, body: np.ndarray, camera: CameraPoses, bodies: BodyPoses, frame: int
) -> np.ndarray:
    """Pixels with depth to points in the frame of the body that each lies on.

    Args:
        points: [P, 2] pixels.
        depth: [P] metres along the optical axis.
        body: [P] body index.

    Returns:
        [P, 3]
    """
    height, width = camera.image_size
    x = (points[:, 0] - width / 2) / camera.focal * depth
    y = -(points[:, 1] - height / 2) / camera.focal * depth
    in_camera = np.stack([x, y, -depth], axis=-1)
    world = in_camera @ camera.rotations[frame].T + camera.positions[frame]
    return np.einsum("pji,pj->pi", bodies.rotations[frame][body], world - bodies.positions[frame][body])


def project(
    local: np.ndarray, body: np.ndarray, camera: CameraPoses, bodies: BodyPoses, frame: int
) -> tuple[np.ndarray, np.ndarray]:
    """Body points [P, 3] to pixels [P, 2] and depth [P] at a frame; depth is negative behind the camera."""
    height, width = camera.image_size
    world = np.einsum("pij,pj->pi", bodies.rotations[frame][body], local) + bodies.positions[frame][body]
    in_camera = (world - camera.positions[frame]) @ camera.rotations[frame]
    depth = -in_camera[:, 2]
    divisor = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
    x = camera.focal * in_camera[:, 0] / divisor + width / 2
    y = -camera.focal * in_camera[:, 1] / divisor + height / 2
    return np.stack([x, y], axis=-1), depth


def exact_tracks(
    points: np.ndarray,
    depth: np.ndarray,
    body: np.ndarray,
    camera: CameraPoses,
    bodies: BodyPoses,
    frames: list[int],
    surface: Surface | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Tracks of the query points of frames[0] over `frames`, in any order, and whether they are seen.

    Args:
        points: [H, W, 2] query points, pixels, on a regular grid.
        depth: [N, H, W] depth at the query points of every frame.
        body: [H, W] body index at the query points of frames[0].
        surface: what may hide a point; None for the query points and their depth.

    Returns:
        tracks float32 [T, H, W, 2] pixels, equal to `points` in the frame frames[0]; visibility bool [T, H, W].
    """
    grid = points.shape[:2]
    start = frames[0]
    surface = surface or Surface(points, depth)
    flat, flat_body = points.reshape(-1, 2).astype(np.float64), body.reshape(-1)
    local = lift(flat, depth[start].reshape(-1).astype(np.float64), flat_body, camera, bodies, start)
    tracks = np.empty((len(frames), *grid, 2), np.float32)
    visibility = np.empty((len(frames), *grid), bool)
    for t, frame in enumerate(frames):
        pixels, distance = project(local, flat_body, camera, bodies, frame)
        tracks[t] = pixels.reshape(*grid, 2)
        seen = is_visible(pixels, distance, surface.points, surface.depth[frame], camera.image_size)
        if surface.body is not None:
            around = _around(pixels, surface.points, surface.body[frame], camera.image_size)
            seen &= (around == flat_body).any(axis=0)
        visibility[t] = seen.reshape(grid)
    tracks[[frame == start for frame in frames]] = points
    return tracks, visibility


def is_visible(
    pixels: np.ndarray, distance: np.ndarray, points: np.ndarray, depth: np.ndarray, image_size: tuple[int, int]
) -> np.ndarray:
    """Depth test against the farthest of the four surrounding points, with 1 % and 1 cm to spare.

    Args:
        pixels, distance: [P, 2], [P] where the points are and how far.
        points, depth: [h, w, 2], [h, w] a regular grid of pixels, as of the query points, and its depth in that frame.
    """
    height, width = image_size
    inside = (pixels >= 0).all(-1) & (pixels < [width, height]).all(-1) & (distance > 0)
    farthest = _around(pixels, points, depth, image_size).max(axis=0)
    return inside & (distance <= farthest * 1.01 + 0.01)


def _around(pixels: np.ndarray, points: np.ndarray, values: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Of values [h, w] at a regular grid of points, those at the four around each of [P, 2] pixels: [4, P]."""
    (height, width), (rows, columns) = image_size, values.shape
    spacing = np.array([width / columns, height / rows])
    corner = np.floor(np.clip((pixels - points[0, 0]) / spacing, -1e6, 1e6)).astype(np.int64)
    found = []
    for right in (0, 1):
        for down in (0, 1):
            column = np.clip(corner[:, 0] + right, 0, columns - 1)
            row = np.clip(corner[:, 1] + down, 0, rows - 1)
            found.append(values[row, column])
    return np.stack(found)
