"""TrajLoom's captions: a CSV file with a row a video."""

import csv
from functools import lru_cache
from pathlib import Path, PurePosixPath

from trajforecast_model.data.sources.pictures import VIDEO_ENDS
from trajforecast_model.files.paths import files_below

_TEXT, _ID, _PATH = "text", "videoid", "video_path"


def captions_in(folder: Path) -> Path | None:
    """The file with captions in a folder. Raises ValueError where there are several."""
    found = [file for file in files_below(folder) if file.suffix.lower() == ".csv" and _holds_captions(file)]
    if len(found) > 1:
        raise ValueError(
            f"{folder} holds captions in {', '.join(file.name for file in found)}; name one: --captions FILE"
        )
    return found[0] if found else None


def captions_of(file: Path) -> dict[str, str]:
    """What is said of each video, by its id. Raises ValueError for a file that holds no captions."""
    try:
        state = file.stat()
    except OSError as error:
        raise ValueError(f"{file} is not a CSV file of captions: {error}") from error
    return _read(file, (state.st_mtime_ns, state.st_size))


def _holds_captions(file: Path) -> bool:
    try:
        captions_of(file)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4)
def _read(file: Path, _state: tuple[int, int]) -> dict[str, str]:
    """Asked for once a video."""
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
