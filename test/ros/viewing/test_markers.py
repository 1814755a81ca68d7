"""Forecasts as RViz markers."""

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.overlay import time_colours
from trajforecast_ros.messages import Source
from trajforecast_ros.viewing.markers import DISTANCE, WIDTH, track_marker

STEPS, GRID, SIZE = 16, (8, 8), (128, 256)  # height, width
SOURCE = Source("side", Header(frame_id="side_optical"), width=256, height=128)


def going_right(points: int, speed: float = 4.0) -> np.ndarray:
    """[T, H, W, 2]: the first points of the grid go right, the others stay."""
    tracks = np.tile(query_points(GRID, SIZE), (STEPS, 1, 1, 1))
    tracks.reshape(STEPS, -1, 2)[:, :points, 0] += speed * np.arange(STEPS)[:, None]
    return tracks


def ends(marker: Marker) -> np.ndarray:
    return np.array([[point.x, point.y, point.z] for point in marker.points]).reshape(-1, STEPS - 1, 2, 3)


def test_only_what_moves_is_drawn_and_in_the_picture_before_the_camera():
    mean = going_right(3)
    marker = track_marker(mean[None], mean, SOURCE)

    assert (marker.type, marker.action, marker.ns) == (Marker.LINE_LIST, Marker.ADD, "side")
    assert marker.header == SOURCE.header
    lines = ends(deserialize_message(serialize_message(marker), Marker))
    assert len(lines) == 3
    first_point = mean[0, 0, 0]
    np.testing.assert_allclose(lines[0, 0, 0], [*(first_point - (128, 64)) * WIDTH / 256, DISTANCE])
    np.testing.assert_allclose(lines[..., 1, 0] - lines[..., 0, 0], 4.0 * WIDTH / 256)
    np.testing.assert_array_equal(lines[:, :-1, 1], lines[:, 1:, 0])


def test_colour_is_time_and_samples_are_fainter():
    mean = going_right(2)
    marker = track_marker(np.stack([going_right(2, 3.0), going_right(2, 5.0)]), mean, SOURCE, samples=1)

    colours = np.array([[c.r, c.g, c.b, c.a] for c in marker.colors]).reshape(-1, STEPS - 1, 2, 4)
    assert len(marker.colors) == len(marker.points)
    assert len(colours) == 4  # two points of the mean and of one sample
    np.testing.assert_allclose(colours[0, :, 1, :3], time_colours(STEPS)[1:] / 255, atol=1e-6)
    assert (colours[:2, ..., 3] == 1).all() and (colours[2:, ..., 3] < 0.5).all()
    assert ends(marker)[2, 0, 1, 0] - ends(marker)[2, 0, 0, 0] == pytest.approx(3.0 * WIDTH / 256)


def test_nothing_moving_takes_the_marker_away():
    mean = going_right(0)
    assert track_marker(mean[None], mean, SOURCE).action == Marker.DELETE


def test_it_stays_small_however_much_moves():
    mean = np.tile(query_points((64, 64), SIZE), (STEPS, 1, 1, 1)) + 3 * np.arange(STEPS).reshape(-1, 1, 1, 1)
    marker = track_marker(mean[None], mean, SOURCE)

    assert 100 * 30 <= len(marker.points) <= 150 * 30


def test_it_lives_as_long_as_it_is_told_and_for_ever_otherwise():
    mean = going_right(1)
    assert track_marker(mean[None], mean, SOURCE).lifetime == Duration()
    marker = track_marker(mean[None], mean, SOURCE, lifetime=2.5)
    assert (marker.lifetime.sec, marker.lifetime.nanosec) == (2, 500_000_000)
