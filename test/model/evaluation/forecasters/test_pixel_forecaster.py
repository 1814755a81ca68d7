"""Tracks read off generated videos: a model whose pixels are the true ones scores what the tracker scores."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from tiny_model import randomise, tiny_config
from torch import Tensor, nn

from trajforecast_model.checkpoint import ForecastConfig, save_config, save_weights
from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, Window, write_info, write_shard
from trajforecast_model.evaluation.forecasters.pixels import PixelForecaster, track_grid
from trajforecast_model.networks.denoiser import Denoiser, DenoiserConfig
from trajforecast_model.networks.image_encoder import build_image_encoder, signed_pixels
from trajforecast_model.tracks.grid import query_points

FRAMES, SIZE = 16, (128, 128)
FRAME_SIZE = (64, 64)
POINTS = query_points((32, 32), SIZE)
SQUARE = ((POINTS > 34) & (POINTS < 72)).all(axis=-1)  # well inside of what moves


def texture(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)


def moving_square(seed: int, velocity: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A textured square that moves over a still background: video [T, 128, 128, 3], tracks [T, 32, 32, 2]."""
    rng = np.random.default_rng(seed)
    background, surface = texture(rng), texture(rng)[:44, :44]
    video = np.repeat(background[None], FRAMES, axis=0)
    for t, frame in enumerate(video):
        x, y = 31 + t * np.array(velocity)
        frame[y : y + 44, x : x + 44] = surface
    motion = np.arange(FRAMES)[:, None, None, None] * np.array(velocity)
    return video, (POINTS + motion * SQUARE[..., None]).astype(np.float32)


def shrunk(video: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(frame, FRAME_SIZE[::-1], interpolation=cv2.INTER_AREA) for frame in video])


def error(tracks: np.ndarray, truth: np.ndarray) -> float:
    """px^2 of the square's points."""
    return float(((tracks - truth) ** 2).sum(-1)[:, SQUARE].mean())


class KnownVideo(nn.Module):
    """In place of a denoiser: from anywhere it flows to one video."""

    def __init__(self, video: np.ndarray):
        super().__init__()
        self.register_buffer("data", signed_pixels(torch.from_numpy(video)))

    def image_context(self, image_tokens: Tensor, text: Tensor | None) -> None:
        return None

    def velocity(self, x: Tensor, t: Tensor, context: None) -> Tensor:
        return (self.data - x) / (1 - t.view(-1, 1, 1, 1, 1, 1))


def pixel_config() -> ForecastConfig:
    tracks = tiny_config()
    size = dict(dim=64, depth=2, heads=1, image_grid=(8, 8), image_dim=64)
    return replace(
        tracks,
        vae=None,
        text_encoder=None,
        generates="pixels",
        denoiser=DenoiserConfig(num_frames=FRAMES, grid=FRAME_SIZE, channels=3, patch_size=8, text_dim=None, **size),
        latent_std=(1.0,) * 3,
        grid=(32, 32),
        num_frames=FRAMES,
    )


def forecaster_of(video: np.ndarray) -> PixelForecaster:
    config = pixel_config()
    return PixelForecaster(config, KnownVideo(video), None, build_image_encoder(config.image_encoder))


def test_true_pixels_score_what_the_tracker_scores_and_that_is_little():
    video, truth = moving_square(0, (2, 1))
    small = shrunk(video)
    forecast = forecaster_of(small).predict_batch(video[:1], [None], 2, 3, [0])[0]  # [k, T, 32, 32, 2]
    by_tracker = track_grid(small, (32, 32), SIZE)
    nothing_moves = error(truth[:1], truth)
    assert error(by_tracker, truth) < 0.05 * nothing_moves
    for sample in forecast:
        assert error(sample, truth) == pytest.approx(error(by_tracker, truth), abs=0.005 * nothing_moves)
        assert np.abs(sample - POINTS)[:, ~SQUARE].mean() < 1, "what is still stays"


def test_pixels_of_another_motion_do_not():
    _, truth = moving_square(0, (2, 1))
    video, _ = moving_square(0, (-1, 1))
    forecast = forecaster_of(shrunk(video)).predict_batch(video[:1], [None], 1, 3, [0])[0, 0]
    assert error(forecast, truth) > 0.3 * error(truth[:1], truth)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two scenes of two futures each, with frames."""
    folder = tmp_path_factory.mktemp("squares")
    info = DatasetInfo("exact", 1, FRAMES, (32, 32), SIZE, views=("side",), frame_size=FRAME_SIZE)
    write_info(folder, info)
    for scene in range(2):
        windows = []
        for velocity in ((2, 1), (1, -1)):
            video, tracks = moving_square(scene, velocity)
            seen = np.ones(tracks.shape[:3], bool)
            name = f"{scene}_{velocity}"
            windows.append(Window("t", name, 0, "side", "", video[0], tracks, seen, FRAMES, frames=shrunk(video)))
        write_shard(folder / "val" / f"scene_{scene}.arrow", windows, info)
    return folder


def test_the_futures_protocol_takes_pixels_and_says_what_the_tracker_gets(data, tmp_path):
    checkpoint, config = tmp_path / "checkpoint", pixel_config()
    save_weights(randomise(Denoiser(config.denoiser)), checkpoint / "denoiser.safetensors")
    save_weights(randomise(build_image_encoder(config.image_encoder)), checkpoint / "image_encoder.safetensors")
    save_config(config, checkpoint)
    command = ["evaluate", "--protocol", "futures", "--checkpoint", str(checkpoint), "--data", str(data)]
    assert main([*command, "-k", "1", "2", "--out", str(tmp_path / "report.json")]) == 0
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    best = {name: row["best_of_k"]["moving_points"] for name, row in rows.items()}
    assert best["tracker"]["2"] <= best["tracker"]["1"] < 0.1 * best["nothing moves"]["1"]
    assert best["tracker"]["2"] < best["model"]["2"], "the weights are random"
