"""What the follower does with the hand's motion: actions in the arm's own measure, and the fingers."""

import numpy as np
import pytest

from trajforecast_model.policy.follower import METRES_PER_STEP, OPEN, RADIANS_PER_STEP, SIDE, WRIST, Follower
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.rigid.hand import DepthImage, SeenView, ViewTracks
from trajforecast_model.tracks.rigid.pinhole import Pinhole

SIZE, FOCAL, FAR = 128, 150.0, 1.0
GRIPPER = np.array([0.0, 0.0, FAR])
CAMERA = Pinhole(np.full(2, FOCAL), np.full(2, SIZE / 2), np.zeros(3), np.eye(3))  # in the world's axes
FROM_THE_LEFT = Pinhole(  # looks along the world's x
    np.full(2, FOCAL), np.full(2, SIZE / 2), np.array([-FAR, 0.0, FAR]), np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])
)
DEPTH = DepthImage(np.full((SIZE, SIZE), FAR, np.float32), CAMERA.focal, CAMERA.centre)
POINTS = query_points((32, 32), (SIZE, SIZE)).astype(np.float64)


def going(*velocity: float) -> ViewTracks:
    """Everything goes so many pixels a step."""
    return ViewTracks(POINTS + np.arange(16).reshape(-1, 1, 1, 1) * np.array(velocity), (SIZE, SIZE))


def turning(angle: float) -> ViewTracks:
    """Everything turns about the image's middle, radians a step."""
    x, y = np.moveaxis(POINTS - SIZE / 2, -1, 0)
    angle = angle * np.arange(16).reshape(-1, 1, 1)
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=-1)
    return ViewTracks(turned + SIZE / 2, (SIZE, SIZE))


def act(futures: dict[str, ViewTracks], views: dict[str, SeenView], **settings) -> np.ndarray:
    return Follower(**settings).action(futures, views, GRIPPER, 0, 4)


def test_one_view_tells_the_motion_across_its_line_of_sight():
    action = act({SIDE: going(0.5, -0.25)}, {SIDE: SeenView(CAMERA)}, gain=0.5)
    np.testing.assert_allclose(action, [0.25 * FAR / FOCAL / METRES_PER_STEP, -0.125 * FAR / FOCAL / METRES_PER_STEP, 0, 0, 0, 0, OPEN])  # fmt: skip


def test_depth_tells_a_turn_and_actions_are_within_the_arm_s_limits():
    views = {SIDE: SeenView(CAMERA, DEPTH)}
    np.testing.assert_allclose(
        act({SIDE: turning(0.02)}, views), [0, 0, 0, 0, 0, 0.02 / RADIANS_PER_STEP, OPEN], atol=1e-3
    )
    assert act({SIDE: going(-9.0, 0.0)}, views)[0] == -1
    assert not act({SIDE: going(-9.0, 0.0)}, views, gain=0.0)[:6].any()


def test_a_second_view_tells_what_the_first_cannot():
    # What goes to the world's +z, away from the first camera, goes to the left in the second's image.
    futures = {SIDE: going(0.0, 0.0), "left": going(-0.5, 0.0)}
    views = {SIDE: SeenView(CAMERA), "left": SeenView(FROM_THE_LEFT)}
    action = act(futures, views, radius=0.15)
    np.testing.assert_allclose(action[:3], [0, 0, 0.5 * FAR / FOCAL / METRES_PER_STEP], atol=0.02)
    assert not act({SIDE: futures[SIDE]}, views)[:6].any(), "a view that the forecast lacks tells nothing"


def closing(pixels: float) -> ViewTracks:
    """The left half of the wrist view goes to the right, the right half to the left, so many pixels a step."""
    inwards = np.where(POINTS[..., :1] < SIZE / 2, 1.0, -1.0) * np.array([pixels, 0.0])
    return ViewTracks(POINTS + np.arange(16).reshape(-1, 1, 1, 1) * inwards, (SIZE, SIZE))


@pytest.mark.parametrize(
    ("pixels", "before", "after"), [(2.0, -1, 1), (2.0, 1, 1), (-2.0, 1, -1), (0.2, -1, -1), (-0.2, 1, 1)]
)
def test_the_fingers_follow_their_points_and_keep_what_they_were_told_otherwise(pixels, before, after):
    futures, views = {SIDE: going(0.0, 0.0), WRIST: closing(pixels)}, {SIDE: SeenView(CAMERA)}
    follower = Follower(fingers=before)
    assert follower.action(futures, views, GRIPPER, 0, 4)[6] == after == follower.fingers
    assert act(futures, views, fingers=before, follow_fingers=False)[6] == before
    stands_still = views | {WRIST: SeenView(FROM_THE_LEFT)}
    assert act(futures, stands_still, fingers=before)[6] == before, "a camera that is not on the hand shows no fingers"


@pytest.mark.parametrize("spoilt", [np.nan, np.inf])
def test_a_place_that_is_not_finite_is_refused(spoilt):
    with pytest.raises(ValueError, match="not finite"):
        Follower().action({SIDE: going(1.0, 0.0)}, {SIDE: SeenView(CAMERA)}, np.array([spoilt, 0, 1]), 0, 4)
