"""Where reports go: what cannot be written shows before the long run and not after it."""

from pathlib import Path


def ready_file(option: str, path: str | Path) -> Path:
    """Makes the folder of a file that is to be written. Raises ValueError where the path is a folder itself."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{option}: {path} is a folder, expected the name of a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
