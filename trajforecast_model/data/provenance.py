"""Where the shards of a prepared folder came from: one small file a task, against mixing recordings without a word."""

import contextlib
import json
from pathlib import Path

from trajforecast_model.data.sources.interface import Source
from trajforecast_model.data.sources.names import file_name_of, former_name
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.json_files import read_object

FOLDER = "sources"
_KEYS = {"kind", "orientation", "demos"}


def record_of(source: Source, names: list[str]) -> dict:
    """What tells this source from another of the same task. A broken demo may be repaired later: it has none."""
    fingerprints: dict[str, str | None] = dict.fromkeys(names)
    for name in names:
        with contextlib.suppress(ValueError):
            fingerprints[name] = source.fingerprint(name)
    return {"kind": source.kind, "orientation": source.orientation, "demos": fingerprints}


def check_records(out: Path, records: dict[str, dict]) -> None:
    """Raises ValueError where `out` has a task of other demos: they would be mixed, or skipped as done."""
    for task, record in records.items():
        file = out / FOLDER / f"{file_name_of(task)}.json"
        known = _read(file) if file.exists() else record
        if not _may_be_the_same(known, record):
            raise ValueError(
                f"{out} already holds {task} from {len(known['demos'])} other demos ({known['kind']}, images "
                f"{known['orientation']}); prepare these {len(record['demos'])} ({record['kind']}, images "
                f"{record['orientation']}) into another --out"
            )
        former = out / FOLDER / f"{file_name_of(former_name(task))}.json"
        if former_name(task) != task and former.exists() and _share_a_demo(_read(former), record):
            raise ValueError(
                f"{out} holds demos of {task} as {former.stem}, which may be several tasks in one: it was prepared when names "
                "kept ASCII letters alone; prepare into another --out"
            )


def _read(file: Path) -> dict:
    remedy = "it should say which demos the task's shards came from; prepare into another --out"
    record = read_object(file, remedy)
    if not (record.keys() >= _KEYS and isinstance(record["demos"], dict)):
        raise ValueError(f"{file} is damaged; {remedy}")
    return record


def _may_be_the_same(known: dict, record: dict) -> bool:
    pairs = [(known["demos"].get(name), fingerprint) for name, fingerprint in record["demos"].items()]
    return (
        [known["kind"], known["orientation"], list(known["demos"])]
        == [record["kind"], record["orientation"], list(record["demos"])]
    ) and all(before == now or before is None or now is None for before, now in pairs)


def _share_a_demo(known: dict, record: dict) -> bool:
    return bool({*known["demos"].items()} & {*record["demos"].items()})


def write_records(out: Path, records: dict[str, dict]) -> None:
    """Machines that share the work write the same, so it does not matter which is last."""
    for task, record in records.items():
        write_atomically(out / FOLDER / f"{file_name_of(task)}.json", (json.dumps(record, indent=2) + "\n").encode())
