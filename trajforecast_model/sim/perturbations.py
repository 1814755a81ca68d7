"""LIBERO-PRO's perturbed tasks, from the installed package: where something is otherwise than in training."""

import dataclasses
import re
from pathlib import Path

from trajforecast_model.sim.environment import Task

# Name, which is the end of LIBERO-PRO's suite, and what is otherwise.
PERTURBATIONS = {
    "swap": "the thing to pick up stands where another one stood, and that one in its place",
    "object": "the things look otherwise",
    "lan": "the instruction is put into other words",
    "task": "another thing of the same scene is asked for",
}
_SAID_ANEW = ("lan", "task")  # whose files have the instruction; the others keep that of training
_LANGUAGE = re.compile(r"\(:language\s+([^()]*?)\s*\)")


def perturbed(task: Task, name: str) -> Task:
    """The task as LIBERO-PRO has it.

    Raises:
        ValueError: for a name that there is not, and a suite or a task that LIBERO-PRO does not have perturbed.
    """
    if name not in PERTURBATIONS:
        raise ValueError(f"unknown perturbation {name!r}; choose one of {', '.join(PERTURBATIONS)}")
    original = Path(task.bddl_file)
    file = original.parent.with_name(f"{original.parent.name}_{name}") / original.name
    if not file.is_file():
        raise ValueError(f"LIBERO-PRO has no {name!r} of {task.suite} task {task.number} ({file} is not installed)")
    return dataclasses.replace(
        task,
        instruction=_language(file) if name in _SAID_ANEW else task.instruction,
        bddl_file=str(file),
        bddl_name=str(Path(task.bddl_name).parent.with_name(file.parent.name) / file.name),
    )


def _language(file: Path) -> str:
    found = _LANGUAGE.search(file.read_text())
    if found is None:
        raise ValueError(f"{file} has no instruction; install LIBERO again: pip install -e '.[sim]'")
    return " ".join(found[1].split())
