"""Models of other projects, run by their own code: source and weights that the user places, and what to say without.

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

from torch import Tensor, nn

from trajforecast_model.files.state_dicts import read_state_dict, shared_prefix


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, for messages."""

    model: str
    repository: str
    requirements: str  # what its source imports
    weights: str  # which file, and from where


def import_source(origin: Origin, module: str, checkout: Path | None) -> ModuleType:
    """A module of the model's own, from the checkout or, without one, from the installed package.

    Raises:
        ValueError: if it cannot be imported: what to get, and the import's own words.
    """
    if checkout is not None and not Path(checkout).is_dir():
        raise ValueError(f"{origin.model}: checkout {checkout} is not a folder")
    try:
        with _importable(checkout):
            return importlib.import_module(module)
    # A package built for another PyTorch fails with a RuntimeError, one written for another NumPy with an AttributeError.
    except (ImportError, RuntimeError, AttributeError) as error:
        place = f"from {checkout}" if checkout else "and no checkout was named"
        raise ValueError(
            f"{origin.model}: its module {module} cannot be imported {place} ({error}). "
            f"git clone {origin.repository} and name that folder as the checkout; it needs {origin.requirements}"
        ) from error


def weights_file(origin: Origin, weights: Path | None) -> Path:
    """Raises ValueError where no weights are named or there is no such file: which ones, and where to get them."""
    if weights is None or not Path(weights).is_file():
        found = "no weights were named" if weights is None else f"weights file {weights} does not exist"
        raise ValueError(f"{origin.model}: {found}. Download {origin.weights} and name it as the weights")
    return Path(weights)


def read_weights(origin: Origin, weights: Path | None) -> dict[str, Tensor]:
    """The network's tensors in the weights file, however it was saved.

    Raises:
        ValueError: where the file is missing, holds objects or no network, or several of which none is the one.
    """
    found = read_state_dict(weights_file(origin, weights))
    if found.entry or found.prefix:
        print(f"{origin.model}: {weights}, {found}", file=sys.stderr)
    return found.tensors


def fill(origin: Origin, model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Loads `weights` into the model. Raises ValueError unless they are exactly its own."""
    own = shared_prefix(list(model.state_dict()))  # the network's own `model.`, which is no wrapping
    try:
        model.load_state_dict({own + key: value for key, value in weights.items()})
    except RuntimeError as error:
        first = " ".join(str(error).splitlines()[:2])[:200]
        raise ValueError(f"{origin.model}: these are not its weights, expected {origin.weights} ({first})") from error


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
