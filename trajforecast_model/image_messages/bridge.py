"""cv_bridge's colour conversion, where it is installed and was compiled for this numpy.

Only its colours: reading a message's bytes is ours everywhere, for cv_bridge mistakes rows whose padding is no whole
number of pixels, and on numpy 2 it fails at big-endian images.
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

# (pixels [height, width(, channels)], their encoding, the wanted encoding) -> pixels
Conversion = Callable[[np.ndarray, str, str], np.ndarray]


@cache
def conversion() -> Conversion | None:
    found = importlib.util.find_spec("cv_bridge")
    folders = found.submodule_search_locations if found else None
    if not folders or not _was_compiled_for(np.__version__, Path(folders[0]) / "boost"):
        return None
    try:
        from cv_bridge.boost.cv_bridge_boost import cvtColor2
    except ImportError:
        return None
    return cvtColor2


def _was_compiled_for(numpy_version: str, folder: Path) -> bool:
    """Asked before it is imported: compiled for numpy 1 it takes the interpreter down on numpy 2."""
    libraries = list(folder.glob("cv_bridge_boost*.so"))
    if int(numpy_version.split(".")[0]) < 2:
        return bool(libraries)
    # Where an extension looks for numpy: since numpy 2 under this name first, and the old one after it.
    return any(b"numpy._core" in library.read_bytes() for library in libraries)
