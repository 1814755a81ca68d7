"""Action-labelled demos without a simulator: the discs of synthetic_shards, and HDF5 files that say what the robot did."""

from pathlib import Path

import h5py
import numpy as np
from synthetic_shards import DIRECTIONS, window
from tiny_runs import QUIET

from trajforecast_model.data.shards import DatasetInfo, write_info, write_shard

FRAMES = 20
TRAIN, VAL = 8, 2


def action_for(instruction: str) -> np.ndarray:
    """[7]: the way the disc goes, fingers closed to push it right and open to push it down."""
    direction = np.array(DIRECTIONS[instruction]) / 2
    return np.array([*direction, 0, 0, 0, 0, 1.0 if direction[0] else -1.0])


def write_labelled_demos(folder: Path, **changes: np.ndarray | None) -> Path:
    """Prepared windows in folder/data and the demos they are of in folder/demos.

    Two demos of each picture and pose, one for each instruction: only words tell what to do.

    Args:
        changes: datasets of every demo that are others, or None where they are left out.
    """
    info = DatasetInfo(labeler="exact", stride=1)
    write_info(folder / "data", info)
    for number in range(TRAIN + VAL):
        windows = [window(np.random.default_rng(number // 2), number, view, info) for view in info.views]
        split = "train" if number < TRAIN else "val"
        write_shard(folder / "data" / split / f"discs__demo_{number:04d}.arrow", windows, info)
    (folder / "demos").mkdir()
    with h5py.File(folder / "demos" / "discs_demo.hdf5", "w") as file:
        for number in range(TRAIN + VAL):
            instruction = list(DIRECTIONS)[number % 2]
            rng = np.random.default_rng(number // 2)
            datasets = {
                "states": rng.normal(size=(FRAMES, 30)),
                "actions": np.tile(action_for(instruction), (FRAMES, 1)) + rng.normal(0, 0.01, (FRAMES, 7)),
            }
            for name, values in (datasets | changes).items():
                if values is not None:
                    file[f"data/demo_{number}/{name}"] = values
    return folder


def policy_config(labelled: Path, out: Path, forecaster: Path, steps: int = 4, **changes) -> dict:
    return {
        "out": str(out),
        "data": {
            "folder": str(labelled / "data"),
            "demos": str(labelled / "demos"),
            "cache": str(out.parent / "cache"),
        },
        "forecaster": str(forecaster),
        "network": dict(dim=32, depth=1, heads=2),
        "optimisation": dict(steps=steps, batch_size=4, learning_rate=5e-3, warmup_steps=2, precision="float32"),
        "logging": dict(QUIET),
    } | changes
