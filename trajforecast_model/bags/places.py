"""Where bags lie. Knows names only, and needs no rosbags."""

import re
from itertools import groupby
from pathlib import Path

from trajforecast_model.files.paths import files_below

KIND = "rosbag2"
METADATA_FILE = "metadata.yaml"
COMPRESSED = ".zstd"
ENDS = (".mcap", ".db3", f".mcap{COMPRESSED}", f".db3{COMPRESSED}")


def bags_at(path: Path) -> list[Path]:
    """The bags in a folder and those within, or the file itself where it is one: folders of a bag, and single files."""
    if path.is_file():
        return [path] if path.name.endswith(ENDS) else []
    found = [file for file in files_below(path) if file.name.endswith(ENDS)]
    return [bag for folder, files in groupby(found, lambda file: file.parent) for bag in _bags_of(folder, list(files))]


def _bags_of(folder: Path, files: list[Path]) -> list[Path]:
    """Files side by side are one bag where its metadata are there, or where they are numbered after their folder, as the
    parts of a bag are that is still being recorded."""
    part = re.compile(re.escape(folder.resolve().name) + r"_\d+\.")
    if (folder / METADATA_FILE).exists() or all(part.match(file.name) for file in files):
        return [folder]
    return files
