"""Forecasts as Foxglove's image annotations: with the real foxglove_msgs where installed, else with its schema's fields."""

import sys
from types import ModuleType

import numpy as np
import pytest
from std_msgs.msg import Header

from trajforecast_model.tracks.overlay import time_colours
from trajforecast_ros.messages import Source
from trajforecast_ros.viewing import foxglove

STEPS = 16


def message_type(name: str, **defaults):
    """A class with these fields and no others."""

    def init(self, **values):
        unknown = values.keys() - defaults.keys()
        assert not unknown, f"{name} has no {unknown}"
        for field, default in defaults.items():
            setattr(self, field, values.get(field, type(default)(default)))

    return type(name, (), {"__slots__": tuple(defaults), "__init__": init})


@pytest.fixture
def schema(monkeypatch):
    """foxglove_msgs.msg"""
    if foxglove.is_available():
        import foxglove_msgs.msg

        return foxglove_msgs.msg
    messages = ModuleType("foxglove_msgs.msg")
    messages.Color = message_type("Color", r=0.0, g=0.0, b=0.0, a=0.0)
    messages.Point2 = message_type("Point2", x=0.0, y=0.0)
    messages.PointsAnnotation = message_type(
        "PointsAnnotation", timestamp=0, type=0, points=[], outline_colors=[], thickness=0.0
    )
    messages.PointsAnnotation.LINE_LIST = 4
    messages.ImageAnnotations = message_type("ImageAnnotations", circles=[], points=[], texts=[])
    monkeypatch.setitem(sys.modules, "foxglove_msgs", ModuleType("foxglove_msgs"))
    monkeypatch.setitem(sys.modules, "foxglove_msgs.msg", messages)
    return messages


def test_moving_points_are_line_lists_in_image_pixels(schema):
    mean = np.zeros((STEPS, 2, 2, 2))
    mean[:, 0, 1] = np.stack([10 + 4.0 * np.arange(STEPS), np.full(STEPS, 20.0)], axis=-1)
    header = Header()
    header.stamp.sec = 9

    message = foxglove.track_annotations(mean[None], mean, Source("side", header, width=128, height=128))

    assert isinstance(message, foxglove.annotations_type())
    [annotation] = message.points
    assert annotation.type == schema.PointsAnnotation.LINE_LIST
    assert annotation.timestamp == header.stamp
    points = [(point.x, point.y) for point in annotation.points]
    assert points[:4] == [(10, 20), (14, 20), (14, 20), (18, 20)]
    assert len(points) == 2 * (STEPS - 1)
    colours = np.array([[c.r, c.g, c.b] for c in annotation.outline_colors])
    np.testing.assert_allclose(colours, time_colours(STEPS)[1:] / 255)  # one a segment


def test_without_the_package_it_says_so(monkeypatch):
    monkeypatch.setattr(foxglove.importlib.util, "find_spec", lambda name: None)

    assert not foxglove.is_available()
