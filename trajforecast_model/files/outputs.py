"""Where results go: what cannot be written shows before the long run and not after it."""

import tempfile
from pathlib import Path

from trajforecast_model.files.disk import existing
from trajforecast_model.files.paths import expanded


def ready_file(option: str, path: str | Path) -> Path:
    """The path of a file that is to be written, tried. Raises ValueError where it is a folder or cannot be written."""
    path = expanded(path)
    if path.is_dir():
        raise ValueError(f"{option}: {path} is a folder, expected the name of a file")
    _try(option, path, path.parent)
    return path


def ready_folder(option: str, path: str | Path) -> Path:
    """The path of a folder that is to be filled, tried. Raises ValueError where it is a file or cannot be written."""
    path = expanded(path)
    if not path.is_dir() and (path.exists() or path.is_symlink()):
        kind = "a file" if path.exists() else "a link to nothing"
        raise ValueError(f"{option}: {path} is {kind}, expected a folder")
    _try(option, path, path)
    return path


def ready_new_folder(option: str, path: str | Path) -> Path:
    """As `ready_folder`, for one that must not hold anything yet."""
    path = ready_folder(option, path)
    if path.exists() and any(path.iterdir()):
        raise ValueError(f"{path} exists; give --{option} a new folder")
    return path


def _try(option: str, path: Path, folder: Path) -> None:
    """By a file that is gone at once: what the modes say is not all, and holds for nobody who is root."""
    try:
        with tempfile.TemporaryFile(dir=existing(folder)) as file:
            file.write(b"x")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"{option}: {path} cannot be written ({reason}); choose another place") from error
