"""Where points went and which of them are believed: more than Lucas-Kanade sees, and none that was merely dragged along."""

import cv2
import numpy as np
import pytest

from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.observed import ObservedPoints
from trajforecast_model.tracks.optical_flow import follow

SIZE, FRAMES, SPEED = (96, 128), 10, 3


def texture(size, seed, coarse=6) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (size[0] // coarse, size[1] // coarse), dtype=np.uint8)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def followed(frames, points):
    observed = ObservedPoints(frames[0], points)
    for frame in frames[1:]:
        observed.update(frame)
    return observed.tracks()


@pytest.fixture(scope="module")
def sliding():
    """A picture that stands still, and a shaded square with a mark in its middle that slides over it."""
    frames = np.tile(texture(SIZE, 1), (FRAMES, 1, 1))
    square = np.tile(np.linspace(60, 200, 36), (36, 1)).astype(np.uint8)
    square[12:24, 12:24] = texture((12, 12), 2, 3)
    for t, frame in enumerate(frames):
        frame[30:66, 20 + SPEED * t : 56 + SPEED * t] = square
    points = query_points((48, 64), SIZE).reshape(-1, 2)
    on_it = ((points > [22, 32]) & (points < [54, 64])).all(1)
    return frames, points, on_it


def test_points_that_lucas_kanade_loses_are_carried_with_their_thing(sliding):
    frames, points, on_it = sliding
    _, found = follow(frames, points)
    before = found[-1][on_it].mean()
    tracks, believed = followed(frames, points)
    truth = points + np.arange(FRAMES)[:, None, None] * np.array([SPEED, 0])
    assert believed[on_it].mean() > 1.3 * before
    error = np.linalg.norm(tracks - truth, axis=-1)[:, believed & on_it]
    assert np.median(error) < 0.3 and np.quantile(error, 0.95) < 2.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_nearly_plain_limb_that_turns_and_comes_nearer_is_followed(seed):
    size, length, turn, growth, shift = (128, 128), 16, 2, 1.01, np.array([1.6, -0.8])
    still = texture(size, seed) * 0.6 + 40
    limb = (texture(size, seed + 100, 10) - 128.0) * 0.1 + 190  # 25 grey levels from its darkest to its brightest
    shape = np.zeros(size)
    shape[52:81, 26:87] = 1
    points = query_points((32, 32), size).reshape(-1, 2)
    on_it = ((points > [28, 54]) & (points < [85, 79])).all(1)
    away_from_it = ((points < [22, 48]) | (points > [91, 85])).any(1)
    frames, truth = [], []
    for t in range(length):
        move = cv2.getRotationMatrix2D((56, 66), turn * t, growth**t)
        move[:, 2] += shift * t
        there = cv2.warpAffine(shape, move, size)
        moved = cv2.warpAffine(limb, move, size, borderMode=cv2.BORDER_REFLECT)
        frames.append((still * (1 - there) + moved * there).astype(np.uint8))
        truth.append((points[on_it] - 0.5) @ move[:, :2].T + move[:, 2] + 0.5)

    tracks, believed = followed(frames, points)
    error = ((tracks[:, on_it] - np.stack(truth)) ** 2).sum(-1).mean(0)
    assert believed[on_it].mean() > 0.33 and error[believed[on_it]].mean() < 5
    dragged = believed & away_from_it & (np.linalg.norm(tracks[-1] - points, axis=1) > 4)
    assert dragged.sum() < 0.02 * away_from_it.sum() and believed[away_from_it].mean() > 0.8


def test_still_points_beside_a_thing_that_moves_are_not_taken_along(sliding):
    frames, points, on_it = sliding
    tracks, believed = followed(frames, points)
    outside = ((points < [18, 28]) | (points > [58, 68])).any(1)
    moved = np.linalg.norm(tracks[-1] - points, axis=1) > 4
    assert (moved & believed & outside).sum() < 0.1 * (moved & believed & on_it).sum()
    assert believed[(points[:, 1] < 20)].mean() > 0.9


def test_what_gets_covered_is_not_believed():
    frames = np.tile(texture(SIZE, 2), (FRAMES, 1, 1))
    cover = texture((40, 40), 3)
    for t, frame in enumerate(frames):
        frame[20:60, max(0, 5 * t - 40) : 5 * t] = cover[:, max(0, 40 - 5 * t) :]
    points = np.array([[30.0, 40.0], [100.0, 80.0], [90.0, 85.0]])
    _, believed = followed(frames, points)
    assert believed.tolist() == [False, True, True]


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (16, 16)])
def test_tiny_images_and_no_points(size):
    frames = np.zeros((3, *size), np.uint8)
    for points in (np.array([[0.5, 0.5]]), np.zeros((0, 2))):
        tracks, believed = followed(frames, points)
        assert tracks.shape == (3, len(points), 2) and believed.shape == (len(points),)
