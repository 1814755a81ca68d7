"""What `meta/` of a LeRobot dataset says: versions 2.0, 2.1 and 3.0.

In version 2 an episode has files of its own and `meta/episodes.jsonl` lists them; in version 3 files hold many episodes,
and `meta/episodes/**/*.parquet` says where each lies. Source: the repository huggingface/lerobot, src/lerobot/datasets.
"""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

INFO_FILE = Path("meta/info.json")


def read_info(place: Path) -> dict:
    """`meta/info.json`. Raises ValueError where it is missing or of no version that this program knows."""
    path = place / INFO_FILE
    try:
        info = json.loads(path.read_text())
        missing = [name for name in ("fps", "features", "data_path") if name not in info]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not readable: {error}") from error
    if not missing and not (isinstance(info["fps"], (int, float)) and 0 < info["fps"] < math.inf):
        raise ValueError(f"{path}: fps is {info['fps']!r}, expected frames a second, above 0")
    if missing or version_of(info) not in (2, 3):
        raise ValueError(
            f"{path}: {'it lacks ' + ', '.join(missing) if missing else 'version ' + str(info.get('codebase_version'))}; "
            "expected LeRobot's format of version 2 or 3"
        )
    return info


def version_of(info: dict) -> int:
    number = str(info.get("codebase_version", "")).removeprefix("v").partition(".")[0]
    return int(number) if number.isdigit() else 0


def listed_episodes(place: Path, info: dict) -> list[dict]:
    """The rows of the list of episodes in order, without their statistics. Raises ValueError where it is damaged."""
    try:
        if version_of(info) == 2:
            rows = _json_lines(place / "meta/episodes.jsonl")
        else:
            rows = []
            for file in sorted((place / "meta/episodes").rglob("*.parquet")):
                names = pa.parquet.read_schema(file).names
                wanted = [name for name in names if not name.startswith("stats/")]
                rows += pa.parquet.read_table(file, columns=wanted).to_pylist()
        for row in rows:
            int(row["episode_index"]), int(row["length"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise ValueError(f"{place}: its list of episodes in meta/ is missing or damaged: {error!r}") from error
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def tasks_by_index(place: Path) -> dict[int, str]:
    """The words of each task_index, from `meta/tasks.jsonl` or `meta/tasks.parquet`; empty where there is neither.

    Raises:
        ValueError: where the file is damaged.
    """
    lines, table = place / "meta/tasks.jsonl", place / "meta/tasks.parquet"
    try:
        if lines.is_file():
            rows = _json_lines(lines)
        elif table.is_file():
            rows = pa.parquet.read_table(table).to_pylist()
        else:
            return {}
        # pandas, which writes the table, keeps the words in its index.
        return {int(row["task_index"]): str(row.get("task", row.get("__index_level_0__")) or "") for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise ValueError(f"{place}: its list of tasks in meta/ is damaged: {error!r}") from error


def tasks_of(row: dict) -> list[str]:
    """The tasks that the list of episodes has of an episode, each once."""
    tasks = row.get("tasks")
    if isinstance(tasks, str):
        tasks = [tasks]
    return list(dict.fromkeys(str(task).strip() for task in tasks or ()))


def _json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
