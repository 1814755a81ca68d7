"""A checkout of somebody else's project, as a test writes it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_sources(folder: Path, sources: dict[str, str]) -> Path:
    """Writes each file's text; returns the folder."""
    for path, text in sources.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@contextmanager
def forgetting(*packages: str) -> Iterator[None]:
    """What is imported of these packages within the block is imported anew after it."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.split(".")[0] in packages:
            del sys.modules[name]
