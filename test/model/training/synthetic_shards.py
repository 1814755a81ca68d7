"""Prepared data without a simulator: a bright disc on noise, whose points move the way the instruction says."""

from pathlib import Path

import cv2
import numpy as np

from trajforecast_model.data.shards import DatasetInfo, Window, write_info, write_shard
from trajforecast_model.images import resize_image
from trajforecast_model.tracks.grid import query_points

DIRECTIONS = {"push the disc right": (2.0, 0.0), "push the disc down": (0.0, 2.0)}


def window(rng: np.random.Generator, number: int, view: str, info: DatasetInfo) -> Window:
    instruction = list(DIRECTIONS)[number % 2]
    height, width = info.image_size
    noise = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
    centre = rng.integers(30, 90, 2)
    points = query_points(info.grid, info.image_size)
    on_disc = np.linalg.norm(points - centre, axis=-1) < 20
    motion = np.arange(info.num_frames)[:, None] * np.array(DIRECTIONS[instruction])
    tracks = (points + motion[:, None, None] * on_disc[..., None]).astype(np.float32)
    visible = np.ones(tracks.shape[:3], bool)
    frames = None
    if info.frame_size is not None:
        frames = np.stack([resize_image(_picture(noise, centre + moved), info.frame_size) for moved in motion])
    image = _picture(noise, centre)
    past = {}
    if info.history_frames:
        steps = np.arange(-info.history_frames, 0)[:, None] * np.array(DIRECTIONS[instruction])
        past["history_tracks"] = (points + steps[:, None, None] * on_disc[..., None]).astype(np.float32)
        past["history_visibility"] = np.ones(past["history_tracks"].shape[:3], bool)
    return Window(
        "discs", f"demo_{number}", 0, view, instruction, image, tracks, visible, info.num_frames, frames=frames, **past
    )


def _picture(noise: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return cv2.circle(noise.copy(), tuple(int(c) for c in centre), 20, (240, 200, 40), -1)


def write_synthetic_data(folder: Path, train: int = 8, val: int = 2, info: DatasetInfo | None = None) -> DatasetInfo:
    info = info or DatasetInfo(labeler="exact", stride=1)
    rng = np.random.default_rng(0)
    write_info(folder, info)
    for number in range(train + val):
        split = "train" if number < train else "val"
        windows = [window(rng, number, view, info) for view in info.views]
        write_shard(folder / split / f"discs__demo_{number:04d}.arrow", windows, info)
    return info
