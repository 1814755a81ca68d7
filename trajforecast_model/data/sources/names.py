"""Names that people and files gave: their natural order, the instruction in a task's name, a task's name for files."""

import hashlib
import re
import unicodedata

_LONGEST_NAME = 150  # letters
# A file's name has 255 bytes: a shard's is the task's with __demo_0000.arrow, and a dot and .<32 letters>.tmp at first.
_MOST_BYTES = 200
_PUNCTUATION = r"[\s_.,;:!?/'\"\u2018\u2019\u201c\u201d()\u2013\u2014-]+"


def natural(name: str) -> list:
    """Sorting key by which demo_2 is before demo_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def instruction_in(task: str) -> str:
    """`KITCHEN_SCENE3_turn_on_the_stove` says "turn on the stove"."""
    return re.sub(r"^[A-Z0-9_]*SCENE\d+_", "", task).replace("_", " ").strip()


def task_named_after(instruction: str) -> str:
    """A name for files; the same words give the same name, whatever their case and punctuation, and other words another.

    Where letters, signs or length are lost in it, it ends in a digest of the words.
    """
    words = unicodedata.normalize("NFKC", instruction).lower()
    signed = re.sub(r"(?<!\w)-(?=\d)", "minus ", words)  # 5 is not -5
    plain = re.sub(_PUNCTUATION, "_", signed).strip("_")
    readable = re.sub(r"[^a-z0-9]+", "_", words).strip("_")[:_LONGEST_NAME]
    return readable if readable == plain else _with_digest(readable, plain)


def former_name(task: str) -> str:
    """What `task_named_after` called it before it gave digests to names in which something is lost."""
    return re.sub(r"_[0-9a-f]{8}$", "", task)


def file_name_of(task: str) -> str:
    """The task's name as it begins the names of its files: itself, unless that is longer than a file's name can be."""
    if len(task.encode()) <= _MOST_BYTES:
        return task
    return _with_digest(task.encode()[: _MOST_BYTES - 20].decode(errors="ignore"), task)


def _with_digest(readable: str, whole: str) -> str:
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{readable or 'task'}_{digest}"
