"""Prepared data whose points move as is known on paper."""

from pathlib import Path

import numpy as np

from trajforecast_model.data.shards import DatasetInfo, Window, write_info, write_shard
from trajforecast_model.tracks.grid import query_points

POINTS = query_points((64, 64), (128, 128))
TASK = "pick_up_the_milk"


def window(view: str, start: int, speed: float, moving_columns: int, demo: str = "demo_9", history: int = 0) -> Window:
    """The points of the first columns move to the right by `speed` px a frame, and did so in the past frames."""
    tracks = np.tile(POINTS, (history + 16, 1, 1, 1))
    steps = np.arange(-history, 16, dtype=np.float32)[:, None, None]
    tracks[:, :, :moving_columns, 0] += speed * steps
    image = np.random.default_rng(start).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    visible = np.ones(tracks.shape[:3], bool)
    past = {"history_tracks": tracks[:history], "history_visibility": visible[:history]} if history else {}
    return Window(TASK, demo, start, view, "pick up the milk", image, tracks[history:], visible[history:], 16, **past)


def prepared(folder: Path, info: DatasetInfo, windows: list[Window]) -> Path:
    """One validation demo of these windows."""
    write_info(folder, info)
    (folder / "val").mkdir()
    write_shard(folder / "val" / f"{TASK}__demo_0009.arrow", windows, info)
    return folder
