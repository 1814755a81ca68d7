"""Exact tracks against what geometry says by hand, with synthetic cameras."""

import numpy as np
import pytest

from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses, exact_tracks, focal_length, lift, project
from trajforecast_model.tracks.grid import query_points

IMAGE_SIZE = (64, 96)  # not square, so that mixed-up axes show
GRID = (32, 48)
POINTS = query_points(GRID, IMAGE_SIZE)
FRAMES = 5


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def still_camera(frames: int = FRAMES) -> CameraPoses:
    """At the origin with the world's axes: it looks along the world's -z."""
    return CameraPoses(
        np.zeros((frames, 3)), np.tile(np.eye(3), (frames, 1, 1)), focal_length(60, IMAGE_SIZE[0]), IMAGE_SIZE
    )


def bodies(positions: np.ndarray, rotations: np.ndarray | None = None) -> BodyPoses:
    """Body 0 stands still; body 1 is at positions [N, 3], rotations [N, 3, 3]."""
    frames = len(positions)
    upright = np.tile(np.eye(3), (frames, 1, 1))
    return BodyPoses(
        np.stack([np.zeros((frames, 3)), positions], axis=1),
        np.stack([upright, upright if rotations is None else rotations], axis=1),
    )


def random_scene(rng: np.random.Generator) -> tuple[CameraPoses, BodyPoses]:
    def turns():
        return np.stack([rotation(rng.normal(size=3), angle) for angle in rng.uniform(0, 3, FRAMES)])

    camera = CameraPoses(rng.normal(size=(FRAMES, 3)), turns(), focal_length(45, IMAGE_SIZE[0]), IMAGE_SIZE)
    return camera, bodies(rng.normal(size=(FRAMES, 3)), turns())


def test_focal_length_of_a_right_angle_is_half_the_height():
    assert focal_length(90, 128) == pytest.approx(64)


def test_a_point_straight_ahead_lies_in_the_middle_of_the_image():
    pixels, depth = project(
        np.array([[0.0, 0.0, -2.0]]), np.array([0]), still_camera(1), bodies(np.zeros((1, 3))), frame=0
    )
    np.testing.assert_allclose(pixels, [[48, 32]])
    assert depth == pytest.approx(2)


def test_right_and_up_in_the_world_are_right_and_up_in_the_image():
    pixels, _ = project(np.array([[0.1, 0.2, -1.0]]), np.array([0]), still_camera(1), bodies(np.zeros((1, 3))), frame=0)
    focal = focal_length(60, IMAGE_SIZE[0])
    np.testing.assert_allclose(pixels, [[48 + 0.1 * focal, 32 - 0.2 * focal]])


def test_projection_undoes_lifting_for_any_pose():
    rng = np.random.default_rng(1)
    camera, moving = random_scene(rng)
    pixels = rng.uniform(0, 60, (100, 2))
    depth = rng.uniform(0.1, 3, 100)
    body = rng.integers(0, 2, 100)
    for frame in range(FRAMES):
        again, depth_again = project(lift(pixels, depth, body, camera, moving, frame), body, camera, moving, frame)
        np.testing.assert_allclose(again, pixels, atol=1e-8)
        np.testing.assert_allclose(depth_again, depth, atol=1e-10)


def test_nothing_moves_when_neither_body_nor_camera_does():
    camera, moving = random_scene(np.random.default_rng(2))
    frozen_camera = CameraPoses(
        camera.positions[[0] * FRAMES], camera.rotations[[0] * FRAMES], camera.focal, camera.image_size
    )
    frozen = BodyPoses(moving.positions[[0] * FRAMES], moving.rotations[[0] * FRAMES])
    depth = np.full((FRAMES, *GRID), 1.3)
    body = np.ones(GRID, int)
    tracks, visibility = exact_tracks(POINTS, depth, body, frozen_camera, frozen, list(range(FRAMES)))
    assert tracks.shape == (FRAMES, *GRID, 2) and tracks.dtype == np.float32
    np.testing.assert_allclose(tracks, np.broadcast_to(POINTS, tracks.shape), atol=1e-4)
    assert visibility.all()


def test_a_translation_moves_points_by_focal_times_distance_over_depth():
    step = np.array([0.02, -0.01, 0.0])
    path = np.arange(FRAMES)[:, None] * step
    camera, moving = still_camera(), bodies(path)
    body = np.zeros(GRID, int)
    body[:, 24:] = 1
    depth = np.full((FRAMES, *GRID), 0.8)
    tracks, _ = exact_tracks(POINTS, depth, body, camera, moving, list(range(FRAMES)))
    expected = camera.focal * np.array([0.02, 0.01]) / 0.8 * np.arange(FRAMES)[:, None, None, None]
    np.testing.assert_allclose(tracks[:, :, :24], np.broadcast_to(POINTS[:, :24], (FRAMES, 32, 24, 2)), atol=1e-4)
    np.testing.assert_allclose(
        tracks[:, :, 24:] - POINTS[:, 24:], np.broadcast_to(expected, (FRAMES, 32, 24, 2)), atol=1e-4
    )


def test_a_camera_that_nears_a_wall_spreads_the_points_from_the_middle():
    camera = still_camera(2)
    camera.positions[1, 2] = -0.5  # half of the way to a wall at 1 m
    depth = np.stack([np.full(GRID, 1.0), np.full(GRID, 0.5)])
    tracks, visibility = exact_tracks(POINTS, depth, np.zeros(GRID, int), camera, bodies(np.zeros((2, 3))), [0, 1])
    middle = np.array([48, 32])
    np.testing.assert_allclose(tracks[1] - middle, 2 * (POINTS - middle), atol=1e-4)
    inside = (np.abs(POINTS - middle) * 2 < middle).all(-1)
    np.testing.assert_array_equal(visibility[1], inside)


def test_a_window_starts_at_its_own_first_frame():
    """frames[0] need not be frame 0: depth, body and poses must be those of the window's start."""
    path = np.array([[9.0, 9.0, 9.0], [0, 0, 0], [0.1, 0, 0]])
    depth = np.stack([np.full(GRID, 7.0), np.ones(GRID), np.ones(GRID)])
    camera = still_camera(3)
    tracks, _ = exact_tracks(POINTS, depth, np.ones(GRID, int), camera, bodies(path), [1, 2, 2])
    np.testing.assert_allclose(tracks[1, ..., 0] - POINTS[..., 0], 0.1 * camera.focal, atol=1e-4)
    np.testing.assert_array_equal(tracks[2], tracks[1])


def test_points_behind_a_nearer_plane_are_hidden_and_go_on_moving():
    """A wall at 2 m; at frame 1 a plate at 1 m stands before the left half."""
    depth = np.full((2, *GRID), 2.0)
    depth[1, :, :24] = 1.0
    tracks, visibility = exact_tracks(
        POINTS, depth, np.zeros(GRID, int), still_camera(2), bodies(np.zeros((2, 3))), [0, 1]
    )
    assert visibility[0].all()
    # The farthest of the four neighbours decides, so the column beside the edge still counts as seen.
    assert not visibility[1, :, :23].any()
    assert visibility[1, :, 24:].all()
    np.testing.assert_allclose(tracks[1], POINTS, atol=1e-4)


def test_points_behind_the_camera_are_hidden():
    path = np.array([[0, 0, 0], [0, 0, 3.0]])
    depth = np.ones((2, *GRID))
    _, visibility = exact_tracks(POINTS, depth, np.ones(GRID, int), still_camera(2), bodies(path), [0, 1])
    assert not visibility[1].any()


@pytest.mark.parametrize("further, seen", [(0.015, True), (0.03, False)])
def test_the_depth_test_allows_one_percent_and_one_centimetre(further, seen):
    depth = np.stack([np.ones(GRID), np.full(GRID, 1.0)])
    path = np.array([[0, 0, 0], [0, 0, -further]])
    _, visibility = exact_tracks(POINTS, depth, np.ones(GRID, int), still_camera(2), bodies(path), [0, 1])
    middle = visibility[1, 8:-8, 8:-8]
    assert middle.all() if seen else not middle.any()
