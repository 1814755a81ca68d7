"""TrajLoom's captions: a CSV file with a row a video."""

import csv
from functools import lru_cache
from pathlib import Path, PurePosixPath

from trajforecast_model.data.sources.pictures import VIDEO_ENDS
from trajforecast_model.files.paths import files_below

_TEXT, _ID, _PATH = "text", "videoid", "video_path"


@lru_cache(maxsize=4)
def captions_of(folder: Path, named: Path | None) -> dict[str, str]:
    """What is said of each video, by its id. From the file that was named, or the one with captions in the folder.

    Raises:
        ValueError: for a file that holds no captions, and where several in the folder do.
    """
    if named is not None:
        return _read(named)
    found = [file for file in files_below(folder) if file.suffix.lower() == ".csv" and _holds_captions(file)]
    if len(found) > 1:
        raise ValueError(
            f"{folder} holds captions in {', '.join(file.name for file in found)}; name one: --captions FILE"
        )
    return _read(found[0]) if found else {}


def _holds_captions(file: Path) -> bool:
    try:
        _read(file)
    except ValueError:
        return False
    return True


def _read(file: Path) -> dict[str, str]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            columns = rows.fieldnames or []
            if _TEXT not in columns or not {_ID, _PATH} & set(columns):
                raise ValueError(
                    f"{file}: its columns are {', '.join(columns)}; expected {_TEXT}, and {_ID} or {_PATH}"
                )
            return {_id_of(row): " ".join((row[_TEXT] or "").split()) for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is not a CSV file of captions: {error}") from error


def _id_of(row: dict[str, str | None]) -> str:
    told = PurePosixPath((row.get(_ID) or row.get(_PATH) or "").replace("\\", "/"))
    return told.stem if row.get(_ID) in (None, "") or told.suffix.lower() in VIDEO_ENDS else str(told)
