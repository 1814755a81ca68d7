"""What makes data unusable for a run, found before its first step."""

from collections.abc import Iterable

import numpy as np

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import PROTOCOL_IMAGE_SIZE
from trajforecast_model.training.batches import spread_evenly

_LOOKED_AT = 64  # windows of a split; all of them would be an epoch's reading
_STILL = 0.5  # px at the protocol's size, far below what the protocol calls moving


def check_windows(windows: ShardDataset, split: str, with_instructions: bool) -> None:
    """Reads some windows of a split, spread evenly; more until one moves.

    Raises:
        ValueError: where one cannot be read or is not of the folder's shape; where nothing moves in any; and, for
            networks that read instructions, where one has none.
    """
    if with_instructions:
        _check_instructions(windows, split)
    chosen = spread_evenly(len(windows), _LOOKED_AT)
    for index in chosen:
        windows.images_at(index)
    moving = [_moves(windows, index) for index in chosen]
    if not any(moving) and not any(_moves(windows, index) for index in _others(len(windows), chosen)):
        raise ValueError(
            f"data folder {windows.folder}: in its {split} split nothing moves in any of {len(windows)} windows, so there "
            "is nothing to learn or to measure; look at the recordings and the labeler, and prepare again"
        )


def _check_instructions(windows: ShardDataset, split: str) -> None:
    rows = windows.rows
    empty = np.array([not instruction.strip() for instruction in rows.instruction])
    if not empty.any():
        return
    demos = [f"{rows.task[index]} {rows.demo[index]}" for index in np.flatnonzero(empty)]
    names = list(dict.fromkeys(demos))
    and_more = f" and {len(names) - 3} more demos" if len(names) > 3 else ""
    raise ValueError(
        f"data folder {windows.folder}: {empty.sum()} of {len(empty)} windows of its {split} split have an empty "
        f"instruction ({', '.join(names[:3])}{and_more}); name what is done in these recordings and prepare them again, or "
        "train a denoiser without words (text_encoder: null)"
    )


def _moves(windows: ShardDataset, index: int) -> bool:
    tracks = windows.tracks_at(index)
    if tracks is None:  # those of a pack were looked at when it was made
        return True
    tracks = rescale(tracks, windows.info.image_size, PROTOCOL_IMAGE_SIZE)
    return float(np.abs(tracks - tracks[:1]).max()) > _STILL


def _others(count: int, chosen: list[int]) -> Iterable[int]:
    known = set(chosen)
    return (index for index in range(count) if index not in known)
