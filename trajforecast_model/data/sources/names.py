"""Names that people and files gave: their natural order, and the instruction in a task's name."""

import re


def natural(name: str) -> list:
    """Sorting key by which demo_2 is before demo_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def instruction_in(task: str) -> str:
    """`KITCHEN_SCENE3_turn_on_the_stove` says "turn on the stove"."""
    return re.sub(r"^[A-Z0-9_]*SCENE\d+_", "", task).replace("_", " ").strip()


def task_named_after(instruction: str) -> str:
    """A name for files; the same words give the same name, whatever their case and punctuation."""
    return re.sub(r"[^a-z0-9]+", "_", instruction.lower()).strip("_")[:150]
