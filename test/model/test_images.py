"""Resizing averages, however large the picture."""

import cv2
import numpy as np
import pytest

from trajforecast_model.images import resize_image


def smooth_picture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


@pytest.mark.parametrize("shape", [(480, 640), (720, 1280), (481, 641), (256, 256), (130, 128), (1080, 1920)])
def test_a_shrunk_picture_is_the_average_of_what_it_shows(shape):
    picture = smooth_picture(*shape)
    exact = cv2.resize(picture.astype(np.float32), (128, 128), interpolation=cv2.INTER_AREA)
    small = resize_image(picture, (128, 128))
    assert small.dtype == np.uint8 and small.shape == (128, 128, 3)
    assert np.abs(small - exact).max() < 4
    assert abs(float((small - exact).mean())) < 0.3


def test_a_pixel_wide_pattern_averages_to_grey():
    stripes = np.zeros((480, 640, 3), dtype=np.uint8)
    stripes[:, ::2] = 254
    assert np.abs(resize_image(stripes, (128, 128)).astype(int) - 127).max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (64, 300), (128, 128)])
def test_what_is_smaller_is_enlarged(shape):
    picture = smooth_picture(*shape)
    large = resize_image(picture, (128, 128))
    assert large.shape == (128, 128, 3)
    assert abs(float(large.mean()) - float(picture.mean())) < 5
