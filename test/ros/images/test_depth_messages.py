"""Depth in messages: millimetres or metres, either byte order, padded rows; what is no measurement is none."""

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from trajforecast_model.image_messages.depth import to_metres
from trajforecast_ros.images import ImageRefused, depth_message

METRES = np.array([[0.5, 1.25, 3.0], [0.0, 2.001, 0.75]], np.float32)
EXPECTED = np.where(METRES > 0, METRES, np.nan)


def message(numbers: np.ndarray, encoding: str, padding: int = 0) -> Image:
    height, width = numbers.shape
    rows = np.pad(np.ascontiguousarray(numbers).view(np.uint8), ((0, 0), (0, padding)), constant_values=255)
    big = numbers.dtype.byteorder == ">"
    return Image(
        height=height, width=width, encoding=encoding, step=rows.shape[1], is_bigendian=int(big), data=rows.tobytes()
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(("encoding", "kind", "unit"), [("16UC1", "u2", 1000), ("32FC1", "f4", 1)])
def test_it_is_metres_whatever_it_comes_as(order, padding, encoding, kind, unit):
    numbers = (METRES * unit).round(3).astype(order + kind)
    np.testing.assert_allclose(to_metres(message(numbers, encoding, padding)), EXPECTED, rtol=1e-6)


def test_there_and_back():
    np.testing.assert_array_equal(to_metres(depth_message(METRES, Header())), EXPECTED)


def test_what_is_infinite_or_negative_was_not_measured():
    odd = np.array([[np.inf, -np.inf, np.nan, -1.0, 1.0]], np.float32)
    assert np.isfinite(to_metres(message(odd, "32FC1"))).tolist() == [[False] * 4 + [True]]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (Image(encoding="mono16", height=1, width=1, step=2, data=b"ab"), "'mono16' is not depth"),
        (Image(encoding="16UC1"), "empty"),
        (Image(encoding="32FC1", height=2, width=2, step=8, data=bytes(12)), "has 16 bytes, got 12"),
        (Image(encoding="32FC1", height=1, width=2, step=4, data=bytes(8)), "step is 4"),
    ],
)
def test_what_is_no_depth_is_refused_by_name(wrong, complaint):
    with pytest.raises(ImageRefused, match=complaint):
        to_metres(wrong)
