"""A rigid thing's motion from where its points are now and in which pixels they are then."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajforecast_model.tracks.rigid.pinhole import Pinhole
from trajforecast_model.tracks.rigid.rigid_motion import LEAST_POINTS, RigidMotion, SeenPoints, rigid_motion

CENTRE = np.array([0.1, -0.2, 0.4])
SEEDS = st.integers(0, 10_000)


def looking_at_centre(position) -> Pinhole:
    forward = CENTRE - position
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
    return Pinhole(np.array([155.0, 150.0]), np.array([64.0, 60.0]), np.asarray(position), rotation)


FRONT, LEFT = looking_at_centre(np.array([1.2, -0.2, 0.7])), looking_at_centre(np.array([0.1, 0.9, 0.8]))


def turning(axis: np.ndarray, angle: float) -> np.ndarray:
    axis = axis / np.linalg.norm(axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def some_motion(rng, angle: float = 0.3, metres: float = 0.05) -> RigidMotion:
    return RigidMotion(turning(rng.normal(size=3), angle), CENTRE, metres * rng.uniform(-1, 1, 3))


def hand(rng, number: int = 24) -> np.ndarray:
    return CENTRE + rng.uniform(-0.06, 0.06, (number, 3))


def seen_after(motion: RigidMotion, camera: Pinhole, points: np.ndarray) -> SeenPoints:
    return SeenPoints(camera, points, camera.project(motion.moved(points))[0])


def assert_same(found: RigidMotion, motion: RigidMotion) -> None:
    np.testing.assert_allclose(found.rotation, motion.rotation, atol=1e-5)
    np.testing.assert_allclose(found.shift, motion.shift, atol=1e-6)


@settings(max_examples=12)
@given(SEEDS, st.floats(-0.6, 0.6))
def test_an_exact_motion_is_recovered(seed, angle):
    rng = np.random.default_rng(seed)
    motion = some_motion(rng, angle)
    assert_same(rigid_motion([seen_after(motion, FRONT, hand(rng))], CENTRE), motion)


@settings(max_examples=12)
@given(SEEDS)
def test_a_third_of_outliers_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    motion, points = some_motion(rng), hand(rng)
    seen = seen_after(motion, FRONT, points)
    stay, astray = slice(0, 4), slice(4, 8)
    seen.pixels[stay] = FRONT.project(points[stay])[0]
    seen.pixels[astray] += rng.uniform(5, 30, (4, 2))
    assert_same(rigid_motion([seen], CENTRE), motion)


@settings(max_examples=12)
@given(SEEDS)
def test_what_is_not_a_number_does_not_count(seed):
    rng = np.random.default_rng(seed)
    motion = some_motion(rng)
    seen = seen_after(motion, FRONT, hand(rng))
    seen.pixels[:5], seen.points[5:10, 2] = np.nan, np.inf
    assert_same(rigid_motion([seen], CENTRE), motion)


@settings(max_examples=12)
@given(SEEDS)
def test_points_that_two_cameras_see_count_together(seed):
    rng = np.random.default_rng(seed)
    motion = some_motion(rng)
    few = [seen_after(motion, camera, hand(rng, 4)) for camera in (FRONT, LEFT)]
    assert rigid_motion(few[:1], CENTRE) is None
    assert_same(rigid_motion(few, CENTRE), motion)


@settings(max_examples=12)
@given(SEEDS)
def test_it_does_not_depend_on_the_world_s_axes(seed):
    rng = np.random.default_rng(seed)
    motion, points = some_motion(rng), hand(rng)
    other = turning(rng.normal(size=3), rng.uniform(0, 3))  # the world's axes, turned
    camera = Pinhole(FRONT.focal, FRONT.centre, other @ FRONT.position, other @ FRONT.rotation)
    seen = SeenPoints(camera, points @ other.T, FRONT.project(motion.moved(points))[0])
    found = rigid_motion([seen], other @ CENTRE)
    np.testing.assert_allclose(found.turn, other @ motion.turn, atol=1e-5)
    np.testing.assert_allclose(found.shift, other @ motion.shift, atol=1e-6)


def test_noise_of_a_fifth_of_a_pixel_costs_a_centimetre_and_two_degrees():
    rng = np.random.default_rng(0)
    turns, shifts = [], []
    for _ in range(30):
        motion = some_motion(rng)
        seen = seen_after(motion, FRONT, hand(rng, 30))
        seen.pixels[:] += 0.2 * rng.normal(size=seen.pixels.shape)
        found = rigid_motion([seen], CENTRE)
        turns.append(np.linalg.norm(found.turn - motion.turn))
        shifts.append(np.linalg.norm(found.shift - motion.shift))
    assert np.median(turns) < np.deg2rad(2) and np.median(shifts) < 0.01


@settings(max_examples=12)
@given(SEEDS)
def test_about_given_axes_it_turns_about_no_other(seed):
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=(1, 3))
    motion = RigidMotion(turning(axis[0], 0.2), CENTRE, np.array([0.02, 0.0, -0.03]))
    assert_same(rigid_motion([seen_after(motion, LEFT, hand(rng))], CENTRE, axes=axis), motion)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 3)),
        hand(np.random.default_rng(0), LEAST_POINTS - 1),
        CENTRE + np.linspace(-0.05, 0.05, 20)[:, None] * (1.0, 2.0, 0.5),
        np.tile(CENTRE, (20, 1)),
        np.full((20, 3), np.nan),
    ],
    ids=["none", "too few", "on a line", "in one place", "nowhere"],
)
def test_what_does_not_tell_a_motion_gives_none(points):
    motion = some_motion(np.random.default_rng(1))
    assert rigid_motion([seen_after(motion, FRONT, points)], CENTRE) is None
    assert rigid_motion([], CENTRE) is None


@settings(max_examples=12)
@given(SEEDS, st.floats(0, 3.1))
def test_a_turn_is_its_axis_as_long_as_its_angle(seed, angle):
    axis = np.random.default_rng(seed).normal(size=3)
    turn = RigidMotion(turning(axis, angle), CENTRE, np.zeros(3)).turn
    np.testing.assert_allclose(turn, axis / np.linalg.norm(axis) * angle, atol=1e-6)


@settings(max_examples=12)
@given(SEEDS)
def test_lifting_undoes_projecting(seed):
    points = hand(np.random.default_rng(seed))
    np.testing.assert_allclose(LEFT.lift(*LEFT.project(points)), points)
