"""JSON files of ours, read with an error that names the one that is damaged."""

import json
from pathlib import Path


def read_object(path: Path, remedy: str) -> dict:
    """Raises ValueError naming the file, what is wrong and the remedy, where the file holds no JSON object."""
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged (expected a JSON object, got {type(values).__name__}); {remedy}")
    return values
