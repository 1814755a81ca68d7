"""What a fine-tuning notes of itself in its folder: what was asked for, what was decided, and how long it has trained."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import from_dict, to_dict
from trajforecast_model.files.json_files import read_object
from trajforecast_model.training.finetuning.config import Asked, FinetuneConfig

_FILE = "finetune.json"
_OPTIONS = {"source": "from", "changes": "set", "fresh": "from-scratch"}  # those that are called otherwise


@dataclass(frozen=True)
class Record:
    asked: Asked
    config: FinetuneConfig
    vae_kept: bool
    told: tuple[str, ...]  # lines about what changes and what is kept
    about_data: str
    seconds: float = 0.0  # of training so far

    def write(self, out: Path) -> None:
        write_atomically(out / _FILE, (json.dumps(to_dict(self), indent=2) + "\n").encode())

    def after(self, seconds: float) -> "Record":
        return replace(self, seconds=self.seconds + seconds)

    def check_same(self, asked: Asked, out: Path, resume: bool) -> None:
        """Raises ValueError where other things are asked for now; with `resume`, what is not said is as it was."""
        was, now = asdict(self.asked), asdict(asked)
        for name in was:
            if was[name] == now[name] or (resume and _is_not_given(now[name])):
                continue
            option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
            raise ValueError(
                f"{out} holds a fine-tuning of {option} {_words(was[name])}, now it is {_words(now[name])}; go on with "
                "--resume and nothing else, or choose another --out"
            )


def read_record(out: Path) -> Record | None:
    """None in a folder without one. Raises ValueError where it is damaged."""
    if not (path := out / _FILE).is_file():
        return None
    try:
        return from_dict(Record, read_object(path, f"choose another --out, or delete {out}"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _words(value) -> str:
    if _is_not_given(value):
        return "(not given)"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_not_given(value) -> bool:
    return value is None or value is False or value == ()
