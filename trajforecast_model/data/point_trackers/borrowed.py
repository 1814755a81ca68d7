"""What trackers of other projects have in common: source and weights that the user places, and what to say without them.

Nothing is downloaded. Naming a checkout runs its code, as installing its package would; weights are read as plain
tensors and run nothing.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import Tensor, nn

from trajforecast_model.data.point_trackers.interface import TrackerOptions
from trajforecast_model.images import resize_image
from trajforecast_model.networks.whn_checkpoint import read_state_dict


@dataclass(frozen=True)
class Origin:
    """Where a tracker comes from, for messages."""

    tracker: str
    repository: str
    requirements: str  # what its source imports
    weights: str  # which file, and from where


def import_source(origin: Origin, module: str, options: TrackerOptions) -> ModuleType:
    """A module of the tracker's own, from the checkout or, without one, from the installed package.

    Raises:
        ValueError: if it cannot be imported: what to get, and the import's own words.
    """
    if options.checkout is not None and not Path(options.checkout).is_dir():
        raise ValueError(f"{origin.tracker}: checkout {options.checkout} is not a folder")
    try:
        with _importable(options.checkout):
            return importlib.import_module(module)
    # A torchvision built for another PyTorch fails with a RuntimeError.
    except (ImportError, RuntimeError) as error:
        place = f"from {options.checkout}" if options.checkout else "and no checkout was named"
        raise ValueError(
            f"{origin.tracker}: its module {module} cannot be imported {place} ({error}). "
            f"git clone {origin.repository} and name that folder as the checkout; it needs {origin.requirements}"
        ) from error


def weights_file(origin: Origin, options: TrackerOptions) -> Path:
    """Raises ValueError where no weights are named or there is no such file: which ones, and where to get them."""
    if options.weights is None or not Path(options.weights).is_file():
        found = "no weights were named" if options.weights is None else f"weights file {options.weights} does not exist"
        raise ValueError(f"{origin.tracker}: {found}. Download {origin.weights} and name it as the weights")
    return Path(options.weights)


def read_weights(origin: Origin, options: TrackerOptions) -> dict[str, Tensor]:
    """The tensors of the weights file. Raises ValueError where it is missing or holds anything else."""
    return read_state_dict(weights_file(origin, options))


def fill(origin: Origin, model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Loads `weights` into the tracker's model. Raises ValueError unless they are exactly its own."""
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        first = " ".join(str(error).splitlines()[:2])[:200]
        raise ValueError(f"{origin.tracker}: these are not its weights, expected {origin.weights} ({first})") from error


def resize_video(video: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [T, H, W, 3] to (height, width) `size`, aspect not kept."""
    return np.stack([resize_image(frame, size) for frame in video])


def from_first_frame(points: np.ndarray, tracks: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tracks [T, N, 2] and visible [T, N] that start at the queried points, which are seen by definition."""
    tracks, visible = tracks.astype(np.float32), visible.astype(bool)
    tracks[0], visible[0] = points, True
    return tracks, visible


@contextmanager
def _importable(checkout: Path | None) -> Iterator[None]:
    """The checkout can be imported from inside, and only inside: its `utils` must not be taken for another's later."""
    if checkout is None:
        yield
        return
    folder = str(Path(checkout).resolve())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
