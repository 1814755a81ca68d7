"""Recordings at a size, grid, length and history of one's own, from `prepare` to a forecast."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from layouts import write_recordings
from tiny_runs import denoiser_config, run, vae_config

from trajforecast_model import Forecaster
from trajforecast_model.cli import main
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.tracks.grid import query_points

SIZE, GRID, FRAMES, HISTORY = (240, 320), (30, 40), 24, 8
GEOMETRY = ["--image-size", "240x320", "--grid", "30x40", "--frames", str(FRAMES), "--history", str(HISTORY)]
SHIFT = (3, 1)  # pixels a frame, of the videos
OF_DATA = {"num_frames": FRAMES, "grid": list(GRID), "image_size": list(SIZE)}
ENCODER = dict(kind="patch", source=None, input_size=list(SIZE), patch_size=16, dim=32, depth=1, heads=1)


def sliding_texture(seed: int, frames: int = 40) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (400, 480, 3), np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    places = [(130 - SHIFT[0] * frame, 60 - SHIFT[1] * frame) for frame in range(frames)]
    return np.stack([texture[y : y + SIZE[0], x : x + SIZE[1]] for x, y in places])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    write_recordings(folder, [{"top": sliding_texture(seed)} for seed in range(2)], ".avi")
    command = ["prepare", str(folder), "--out", str(folder / "data"), "--labeler", "lucas_kanade", "--view", "top"]
    assert main([*command, *GEOMETRY, "--stride", "16", "--workers", "1"]) == 0
    return folder / "data"


def test_windows_have_the_geometry_that_was_asked_for(data):
    dataset = ShardDataset(data, "train")
    assert dataset.rows.start.tolist() == [0, 16, 32]
    window = dataset[1]
    assert window.image.shape == (*SIZE, 3)
    assert window.tracks.shape == (FRAMES, *GRID, 2) and window.history_tracks.shape == (HISTORY, *GRID, 2)
    points = query_points(GRID, SIZE)
    np.testing.assert_array_equal(window.tracks[0], points)
    np.testing.assert_array_equal(points[1, 2] - points[0, 0], [16, 8])
    inner = (slice(None), slice(8, 22), slice(10, 28))
    for tracks, steps in ((window.tracks, np.arange(FRAMES)), (window.history_tracks, np.arange(-HISTORY, 0))):
        moved = (tracks - points)[inner]
        assert np.abs(moved - steps[:, None, None, None] * SHIFT).mean() < 0.3


def test_training_evaluation_and_forecast_take_it_from_the_data(data, tmp_path):
    vae = vae_config(data, tmp_path / "vae", steps=2, image_encoder=ENCODER)
    vae["vae"] |= OF_DATA | dict(
        patch_size=10, temporal_stride=23, image_conditioned=True, image_dim=32, image_grid=[15, 20]
    )
    vae["optimisation"]["batch_size"] = 2
    assert run("vae", vae, tmp_path) == 0
    denoiser = denoiser_config(data, tmp_path / "run", tmp_path / "vae", steps=2, image_encoder=ENCODER)
    denoiser["optimisation"]["batch_size"] = 2
    denoiser["history"] = {"frames": HISTORY}
    assert run("denoiser", denoiser, tmp_path) == 0

    report = tmp_path / "report.json"
    evaluate = ["evaluate", "--checkpoint", str(tmp_path / "run"), "--data", str(data), "-k", "1", "2"]
    assert main([*evaluate, "--out", str(report)]) == 0
    assert json.loads(report.read_text())["views"]["top"]["nothing_moves"] > 100

    forecaster = Forecaster.from_pretrained(tmp_path / "run")
    image = ShardDataset(data, "val")[0].image
    forecast = forecaster.predict({"top": image}, "push", k=2)
    assert forecast.tracks.shape == (1, 2, FRAMES, *GRID, 2)
    assert np.abs(forecast.tracks[0, :, 0] - query_points(GRID, SIZE)).max() < 60, (
        "it begins at the query points, nearly"
    )
    past = sliding_texture(seed=1)[:HISTORY]
    told = forecaster.predict({"top": image}, "push", k=1, history={"top": past})
    assert told.tracks.shape == (1, 1, FRAMES, *GRID, 2)
    half = forecaster.predict({"top": image[::2, ::2]}, "push", k=1)
    np.testing.assert_allclose(half.tracks[0, 0, 0], forecast.tracks[0, 0, 0] / 2, atol=1)
