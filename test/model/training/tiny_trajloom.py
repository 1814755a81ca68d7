"""Runs of TrajLoom's stages on tiny networks, and their data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from synthetic_shards import window
from tiny_runs import QUIET

from trajforecast_model.data.shards import DatasetInfo, write_info, write_shard

FRAMES = 5  # of a past, and of a future
INFO = DatasetInfo(
    labeler="exact",
    stride=1,
    num_frames=FRAMES + 1,
    grid=(16, 16),
    image_size=(128, 128),
    history_frames=FRAMES - 1,
    views=("side",),
)
OPTIMISATION = dict(
    batch_size=8, learning_rate=5e-3, warmup_steps=4, precision="float32", weight_decay=0.0, ema_decay=0.9
)


def common(data: Path, out: Path, steps: int) -> dict:
    return {
        "out": str(out),
        "data": {"folder": str(data), "workers": 0},
        "optimisation": OPTIMISATION | {"steps": steps},
        "logging": QUIET | {"checkpoint_every": max(1, steps // 2)},
    }


def vae_config(data: Path, out: Path, steps: int = 60, **changes) -> dict:
    sizes = dict(
        num_frames=FRAMES, image_size=[128, 128], patch_size=16, dim=32, depth=2, heads=2, latent_channels=4,
        position_frequencies=4,
    )  # fmt: skip
    return common(data, out, steps) | {"vae": sizes, "statistics_windows": 8, "kl_weight": 1e-6} | changes


def generator_config(data: Path, out: Path, vae: Path | None, steps: int = 60, **changes) -> dict:
    size = dict(dim=32, depth=2, heads=2, video_channels=2)
    return (
        common(data, out, steps)
        | {"vae": None if vae is None else str(vae), "generator": size, "sampling_steps": 3}
        | {"moving_weight": 8.0}
        | changes
    )


def visibility_config(data: Path, out: Path, generator: Path, steps: int = 30) -> dict:
    return common(data, out, steps) | {"forecaster": str(generator), "dim": 16, "depth": 1}


def write_discs(folder: Path, info: DatasetInfo = INFO) -> Path:
    """Points whose disc goes on as it came; those of the left half are hidden in the future."""
    write_info(folder, info)
    for number in range(10):
        made = window(np.random.default_rng(number), number, "side", info)
        seen = made.visibility.copy()
        seen[1:, :, : info.grid[1] // 2] = False
        split = "train" if number < 8 else "val"
        write_shard(folder / split / f"discs__demo_{number:04d}.arrow", [replace(made, visibility=seen)], info)
    return folder
