"""What a rehearsal has in place of what is brought: discs on noise for demos, networks without arithmetic for the official."""

import os
import sys
from pathlib import Path

from trajforecast_model.training.pack.pack import PackSettings, pack

_TESTS = Path(__file__).parents[2] / "test" / "model"
PART_SIZE = 4_000_000


def official_folder(rehearse: bool) -> Path | None:
    """Where the official networks are; None where they were not brought."""
    if not rehearse:
        folder = Path(os.environ["OFFICIAL"])
        return folder if (folder / "nn_latte.py").is_file() else None
    _import_from("benchmarks", "conversion")
    from stand_in import write_stand_in

    folder = Path(os.environ["WORK"]) / "toy_official"
    folder.mkdir(exist_ok=True)
    write_stand_in(folder)
    return folder


def pack_folder(rehearse: bool) -> Path:
    if not rehearse:
        return Path(os.environ["PACK"])
    _import_from("training")
    from synthetic_shards import write_synthetic_data

    work = Path(os.environ["WORK"])
    if not (work / "toy_pack").exists():
        write_synthetic_data(work / "toy_data", train=8, val=1)
        pack(work / "toy_data", work / "toy_pack", PackSettings(part_size=PART_SIZE))
    return work / "toy_pack"


def _import_from(*folders: str) -> None:
    # Processes that measure memory get this path, too.
    for folder in folders:
        sys.path.insert(0, str(_TESTS / folder))
