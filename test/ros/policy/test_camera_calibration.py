"""Pixels and metres, against the geometry that the exact tracks are made with."""

import numpy as np
import pytest
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion
from sensor_msgs.msg import CameraInfo

from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses, project
from trajforecast_ros.policy.calibration import Calibration

HEIGHT, WIDTH, FOCAL = 96, 128, 100.0
POSITION = np.array([0.9, 0.1, 0.6])
# A turn by 2 radians about an axis, as a quaternion x, y, z, w.
AXIS = np.array([2.0, -1.0, 2.0]) / 3
QUATERNION = np.append(AXIS * np.sin(1.0), np.cos(1.0))


@pytest.fixture
def camera() -> Calibration:
    info = CameraInfo(k=[FOCAL, 0.0, WIDTH / 2 - 0.5, 0.0, FOCAL, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0])
    x, y, z, w = QUATERNION.tolist()
    pose = PoseStamped(
        pose=Pose(
            position=Point(**dict(zip("xyz", POSITION.tolist(), strict=True))),
            orientation=Quaternion(x=x, y=y, z=z, w=w),
        )
    )
    return Calibration.from_messages(info, pose)


def test_a_turn_about_an_axis_is_the_one_that_rodrigues_gives(camera):
    vector = np.array([0.3, 0.5, -0.7])
    turned = vector * np.cos(2.0) + np.cross(AXIS, vector) * np.sin(2.0) + AXIS * (AXIS @ vector) * (1 - np.cos(2.0))

    np.testing.assert_allclose(camera.rotation @ vector, turned)


def test_it_projects_as_the_exact_tracks_do(camera):
    point = camera.position + camera.rotation @ np.array([0.1, -0.2, 1.5])
    # The exact tracks' cameras are MuJoCo's: y up, looking along -z.
    mujoco = CameraPoses(POSITION[None], (camera.rotation @ np.diag([1, -1, -1]))[None], FOCAL, (HEIGHT, WIDTH))
    still = BodyPoses(np.zeros((1, 1, 3)), np.eye(3)[None, None])
    [expected], [distance] = project(point[None], np.array([0]), mujoco, still, 0)

    pixel, depth = camera.project(point)

    np.testing.assert_allclose(pixel, expected)
    assert depth == pytest.approx(distance) == pytest.approx(1.5)


def test_a_lifted_motion_looks_as_it_did(camera):
    point = camera.position + camera.rotation @ np.array([0.1, -0.2, 1.5])
    pixel, depth = camera.project(point)

    after, depth_after = camera.project(point + camera.lift_motion(np.array([7.0, -3.0]), depth))

    np.testing.assert_allclose(after - pixel, [7, -3])
    assert depth_after == pytest.approx(depth)
