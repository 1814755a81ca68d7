"""The hand's motion from forecasts: exact ones of the shipped episode, whose camera on the hand tells the truth."""

from pathlib import Path

import numpy as np
import pytest

from trajforecast_model.data.episode import Episode
from trajforecast_model.policy.follower import FINGER_MOTION, FINGERTIP_RADIUS, FINGERTIPS, RADIUS
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.rigid.hand import DepthImage, SeenView, ViewTracks, gripper_motion, hand_motion, opening
from trajforecast_model.tracks.rigid.pinhole import Pinhole
from trajforecast_model.tracks.rigid.rigid_motion import RigidMotion

EPISODE = Path(__file__).parents[3] / "trajforecast_ros/episodes/libero_object_milk.npz"
OPTICAL = np.diag([1.0, -1.0, -1.0])  # MuJoCo's cameras have y up and look along -z
FINGERTIPS_FROM_CAMERA = np.array([0.0, 0.032, 0.1])  # metres in the optical frame of the camera on the hand
LOOKAHEAD = 4
SIZE = 256


@pytest.fixture(scope="module")
def episode() -> Episode:
    return Episode.load(EPISODE)


def exact_futures(episode: Episode, start: int) -> dict[str, ViewTracks]:
    return {view: ViewTracks(episode.truth(view, start)[0], (SIZE, SIZE)) for view in ("side", "effector")}


def fingertips(episode: Episode, frame: int) -> np.ndarray:
    camera = episode.geometry["effector"].camera
    return camera.positions[frame] + camera.rotations[frame] @ OPTICAL @ FINGERTIPS_FROM_CAMERA


def side_view(episode: Episode, frame: int) -> SeenView:
    """With depth that has another size than the picture, as it comes from many cameras."""
    seen = episode.geometry["side"]
    height, width = seen.depth.shape[1:]

    def focal(size: int) -> np.ndarray:
        return np.full(2, seen.camera.focal * size / seen.camera.image_size[0])

    camera = Pinhole(
        focal(SIZE), np.full(2, SIZE / 2), seen.camera.positions[frame], seen.camera.rotations[frame] @ OPTICAL
    )
    depth = DepthImage(seen.depth[frame], focal(height), np.array([width / 2, height / 2]))
    return SeenView(camera, depth)


@pytest.mark.parametrize(
    "start", [0, 28, 36, 48, 64, 84, 104, 112]
)  # goes, sinks around the milk, lifts, turns, lets go
def test_with_depth_it_is_the_hand_s_own_to_a_millimetre(episode, start):
    rotations = episode.geometry["effector"].camera.rotations
    went = fingertips(episode, start + LOOKAHEAD) - fingertips(episode, start)
    turned = RigidMotion(rotations[start + LOOKAHEAD] @ rotations[start].T, np.zeros(3), went).turn

    found = hand_motion(
        exact_futures(episode, start), {"side": side_view(episode, start)}, fingertips(episode, start), 0, LOOKAHEAD, RADIUS
    )  # fmt: skip

    np.testing.assert_allclose(found.shift, went, atol=1e-3)
    np.testing.assert_allclose(found.turn, turned, atol=5e-3)


def test_without_depth_and_a_second_view_it_cannot_be_told(episode):
    view = SeenView(side_view(episode, 48).camera)
    futures = exact_futures(episode, 48)
    assert hand_motion(futures, {"side": view}, fingertips(episode, 48), 0, LOOKAHEAD, RADIUS) is None
    # A second view from the same place tells nothing new, and one that the forecast lacks nothing at all.
    assert hand_motion(futures, {"side": view, "effector": view}, fingertips(episode, 48), 0, 4, RADIUS) is None
    assert hand_motion(futures, {"side": view, "front": view}, fingertips(episode, 48), 0, 4, RADIUS) is None


def test_depth_without_a_measurement_on_the_hand_is_no_depth(episode):
    view = side_view(episode, 48)
    blind = DepthImage(np.full_like(view.depth.metres, np.nan), view.depth.focal, view.depth.centre)
    views = {"side": SeenView(view.camera, blind)}
    assert hand_motion(exact_futures(episode, 48), views, fingertips(episode, 48), 0, LOOKAHEAD, RADIUS) is None


HAND = np.array([0.0, 0.1, 0.3])


def camera_at(position: np.ndarray) -> Pinhole:
    forward = (HAND - position) / np.linalg.norm(HAND - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
    return Pinhole(np.full(2, 300.0), np.full(2, SIZE / 2), position, rotation)


def bumpy_tracks(camera: Pinhole, motion: RigidMotion, rng) -> np.ndarray:
    """Of a hand with 2 cm of relief around its middle, before a background that stays: [T, H, W, 2]."""
    now = query_points((32, 32), (SIZE, SIZE))
    middle, depth = camera.project(HAND)
    of_hand = np.linalg.norm(now - middle, axis=-1) < 0.06 * SIZE
    then = camera.project(motion.moved(camera.lift(now, depth + rng.uniform(-0.02, 0.02, now.shape[:2]))))[0]
    return np.stack([now, np.where(of_hand[..., None], then, now)])


@pytest.mark.parametrize("about", [0, 1], ids=["first line of sight", "second line of sight"])
def test_two_views_tell_where_it_goes_and_how_it_turns_about_their_lines_of_sight(about):
    cameras = {"side": camera_at(np.array([1.1, 0.1, 0.6])), "front": camera_at(np.array([0.1, 1.2, 0.5]))}
    axis = list(cameras.values())[about].rotation[:, 2]
    cross = np.cross(axis, np.eye(3)).T
    turning = np.eye(3) + np.sin(0.15) * cross + (1 - np.cos(0.15)) * cross @ cross
    motion = RigidMotion(turning, HAND, np.array([0.03, -0.02, 0.025]))
    rng = np.random.default_rng(0)
    futures = {name: ViewTracks(bumpy_tracks(camera, motion, rng), (SIZE, SIZE)) for name, camera in cameras.items()}

    found = hand_motion(futures, {name: SeenView(camera) for name, camera in cameras.items()}, HAND, 0, 1, RADIUS)

    np.testing.assert_allclose(found.shift, motion.shift, atol=2e-3)
    assert found.turn @ axis == pytest.approx(0.15, abs=0.03)
    assert np.linalg.norm(found.turn - (found.turn @ axis) * axis) < 0.08


def test_the_fingers_close_where_they_closed(episode):
    """From frame 40 on they close around the milk; before, and while it is carried, they do not."""

    def told(start: int, fingers: float) -> float:
        change = opening(exact_futures(episode, start)["effector"], FINGERTIPS[fingers], 0, LOOKAHEAD, FINGERTIP_RADIUS)
        return 0.0 if abs(change) < FINGER_MOTION else -np.sign(change)

    assert told(40, -1.0) == 1.0
    assert all(told(start, -1.0) <= 0 for start in range(0, 38, 4)), "it goes on opening what is open"
    assert all(told(start, 1.0) >= 0 for start in range(44, 112, 4)), "it goes on closing what is closed"


def test_fingers_that_are_not_seen_tell_nothing(episode):
    future = exact_futures(episode, 40)["effector"]
    assert opening(future, FINGERTIPS[1.0] + 5, 0, LOOKAHEAD, FINGERTIP_RADIUS) is None


def test_in_pixels_the_motion_is_that_of_what_moves_around_the_gripper():
    tracks = np.tile(query_points((32, 32), (64, 64)), (16, 1, 1, 1))
    tracks[:, 10:13, 10:13, 0] += 2 * np.arange(16).reshape(-1, 1, 1)  # 9 points around the gripper go right
    tracks[:, 20:, 20:, 1] += 5 * np.arange(16).reshape(-1, 1, 1)  # others, elsewhere, down
    future = ViewTracks(tracks, (64, 64))

    # The region holds 13 points of the grid, 2 pixels apart; the median of the 9 that move is theirs.
    np.testing.assert_allclose(gripper_motion(future, tracks[0, 11, 11], 0, 4, 4.1 / 64), [8, 0])
    assert not gripper_motion(future, np.array([-100.0, 0.0]), 0, 4, 0.05).any()
