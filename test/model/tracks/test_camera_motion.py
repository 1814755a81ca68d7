"""The camera's motion, told from tracks that a known camera would give."""

import numpy as np
import pytest

from trajforecast_model.tracks.camera_motion import CameraMotion, camera_motion, camera_phrase

SIZE = (480, 832)
FRAMES = 17


def seen_by(pan=0.0, tilt=0.0, zoom=0.0, roll=0.0, noise=0.0) -> np.ndarray:
    """Background points [FRAMES, N, 2] under a camera that moves evenly; units of CameraMotion."""
    rng = np.random.default_rng(0)
    points = rng.random((120, 2)) * SIZE[::-1]
    place = (points[:, 0] - SIZE[1] / 2 + 1j * (points[:, 1] - SIZE[0] / 2)) / SIZE[1]
    tracks = []
    for _ in range(FRAMES):
        pixels = np.stack([place.real * SIZE[1] + SIZE[1] / 2, place.imag * SIZE[1] + SIZE[0] / 2], axis=-1)
        tracks.append(pixels + noise * rng.standard_normal(pixels.shape))
        step = np.exp((zoom - 1j * roll) / (FRAMES - 1))
        place = step * place + (-pan + 1j * tilt) / (FRAMES - 1)
    return np.stack(tracks)


@pytest.mark.parametrize(
    ("moves", "phrase"),
    [
        ({}, "the camera is static"),
        ({"pan": 0.2}, "the camera pans right"),
        ({"pan": -0.2}, "the camera pans left"),
        ({"tilt": 0.1}, "the camera tilts up"),
        ({"tilt": -0.1}, "the camera tilts down"),
        ({"zoom": 0.3}, "the camera zooms in"),
        ({"zoom": -0.3}, "the camera zooms out"),
        ({"roll": 0.3}, "the camera rolls clockwise"),
        ({"roll": -0.3}, "the camera rolls counter-clockwise"),
        ({"pan": 0.1, "tilt": 0.3}, "the camera tilts up and pans right"),
        ({"pan": 0.02, "zoom": 0.02, "roll": 0.03}, "the camera is static"),
    ],
)
def test_a_camera_s_moves_are_told_by_their_names(moves, phrase):
    assert camera_phrase(camera_motion(seen_by(**moves, noise=0.3), None, SIZE)) == phrase


def test_the_figures_are_the_camera_s():
    told = camera_motion(seen_by(zoom=0.2, roll=-0.1), None, SIZE)
    assert told == pytest.approx(CameraMotion(0, 0, 0.2, -0.1), abs=1e-6)
    assert camera_motion(seen_by(pan=0.3, tilt=-0.1), None, SIZE) == pytest.approx((0.3, -0.1, 0, 0), abs=1e-6)


def test_things_that_move_by_themselves_and_hidden_points_do_not_count():
    tracks, visible = seen_by(pan=0.2), np.ones((FRAMES, 120), bool)
    tracks[:, :40] += np.arange(FRAMES)[:, None, None] * np.array([9.0, -6.0])  # a third goes its own way
    visible[:, 40:60] = False
    tracks[:, 40:60] = np.nan
    told = camera_motion(tracks, visible, SIZE)
    assert told == pytest.approx((0.2, 0, 0, 0), abs=1e-6)


def test_what_shows_nothing_is_refused():
    with pytest.raises(ValueError, match="no two frames show the same 3 points"):
        camera_motion(seen_by(), np.zeros((FRAMES, 120), bool), SIZE)
    with pytest.raises(ValueError, match=r"expected \[T, N, 2\]"):
        camera_motion(np.zeros((4, 2)), None, SIZE)
    with pytest.raises(ValueError, match="visible: got"):
        camera_motion(seen_by(), np.ones((2, 2)), SIZE)
