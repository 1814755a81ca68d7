"""What rollouts say together: success with its interval, by task and by phase, and two reports side by side."""

from typing import Any

import numpy as np

from trajforecast_model.evaluation.metrics.bootstrap import DemoBootstrap

PHASES = ("approached", "grasped", "transported", "placed")  # what they are is in phases.py
_Z = 1.959964  # of 95 %

Episode = dict[str, Any]  # task, seed, success, steps, phases


def figures(episodes: list[Episode]) -> dict[str, Any]:
    """Of one episode or more."""
    tasks: dict[str, list[Episode]] = {}
    for episode in episodes:
        tasks.setdefault(episode["task"], []).append(episode)
    steps = [episode["steps"] for episode in episodes if episode["success"]]
    return {
        "success": _share(episodes, "placed"),
        "interval": wilson(_count(episodes, "placed"), len(episodes)),
        "per_task": {
            task: {
                "success": _count(some, "placed"),
                "of": len(some),
                "interval": wilson(_count(some, "placed"), len(some)),
            }
            for task, some in sorted(tasks.items())
        },
        "phases": {
            phase: {
                "share": _share(episodes, phase),
                "interval": wilson(_count(episodes, phase), len(episodes)),
            }
            for phase in PHASES
        },
        "steps_to_success": None if not steps else dict(zip(("median", "least", "most"), _spread(steps), strict=True)),
    }


def wilson(successes: int, trials: int) -> list[float]:
    """[low, high] of a share, 95 % (Wilson 1927); also right where all or none succeeded."""
    share, squared = successes / trials, _Z**2
    middle = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = _Z / (1 + squared / trials) * np.sqrt(share * (1 - share) / trials + squared / (4 * trials**2))
    return [max(0.0, float(middle - half)), min(1.0, float(middle + half))]


def paired(ours: list[Episode], theirs: list[Episode]) -> dict[str, Any]:
    """How much more often ours succeeded, over the scenes (task and seed) of both.

    Raises:
        ValueError: where they have no scene in common.
    """
    known = {(episode["task"], episode["seed"]): episode["success"] for episode in theirs}
    both = [
        ((episode["task"], episode["seed"]), episode["success"], known[episode["task"], episode["seed"]])
        for episode in ours
        if (episode["task"], episode["seed"]) in known
    ]
    if not both:
        raise ValueError("the two reports have no scene (task and seed) in common; roll out the same tasks and seeds")
    scenes, we, they = zip(*both, strict=True)
    differences = np.array(we, float) - np.array(they, float)
    return {
        "scenes": len(both),
        "success": float(np.mean(we)),
        "success_of_other": float(np.mean(they)),
        "difference": float(differences.mean()),
        "interval": DemoBootstrap(scenes).mean(differences),
        "only_we": int((differences > 0).sum()),
        "only_they": int((differences < 0).sum()),
    }


def table(report: dict[str, Any]) -> str:
    """The figures for a terminal."""
    low, high = report["interval"]
    lines = [f"{task}: {row['success']} of {row['of']}" for task, row in report["per_task"].items()]
    lines.append("phases: " + ", ".join(f"{phase} {row['share']:.0%}" for phase, row in report["phases"].items()))
    if report["steps_to_success"] is not None:
        lines.append(f"steps to success: median {report['steps_to_success']['median']:g}")
    lines.append(
        f"success {report['success']:.1%} (95 %: {low:.1%} to {high:.1%}) of {len(report['episodes'])} episodes"
    )
    return "\n".join(lines)


def paired_line(against: dict[str, Any], name: str) -> str:
    line = (
        f"against {name}, {against['scenes']} scenes of both: {against['success']:.1%} to "
        f"{against['success_of_other']:.1%}, {100 * against['difference']:+.1f} points"
    )
    if against["interval"] is None:
        return line
    low, high = against["interval"]
    return f"{line} (95 %: {100 * low:+.1f} to {100 * high:+.1f})"


def _count(episodes: list[Episode], phase: str) -> int:
    return sum(episode["phases"][phase] is not None for episode in episodes)


def _share(episodes: list[Episode], phase: str) -> float:
    return _count(episodes, phase) / len(episodes)


def _spread(steps: list[int]) -> tuple[float, int, int]:
    return float(np.median(steps)), min(steps), max(steps)
