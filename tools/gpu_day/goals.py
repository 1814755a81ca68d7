"""What was wanted of an H100, beside what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

SIZE = "B"


@dataclass(frozen=True)
class Goal:
    name: str
    wanted: float
    at_most: bool
    measured: float | None  # None where it was not measured
    by: str = ""  # what measured it
    profile: str | None = None  # what to look into where the goal is missed

    @property
    def is_met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted

    def line(self) -> str:
        measured = "-" if self.measured is None else f"{self.measured:.1f} ({self.by})"
        verdict = {None: "not measured", True: "met", False: "MISSED"}[self.is_met]
        return f"| {self.name} | {'at most' if self.at_most else 'at least'} {self.wanted:g} | {measured} | {verdict} |"


def judge(reports: dict[str, dict]) -> list[Goal]:
    """reports: of the steps of bench.py that were done, by name; those of a bench begin with its name."""

    def best(field: str, evaluations: int, scale: float, choose: Callable) -> tuple[float | None, str]:
        found = [
            (scale * row[field], name)
            for name, report in reports.items()
            if name.startswith("sizes")
            for row in report["rows"]
            if row["size"] == SIZE and row["evaluations"] == evaluations
        ]
        return choose(found, default=(None, ""))

    def ratio(name: str) -> tuple[float | None, str]:
        fields = {"official_over_ours": "median of pairs", "official_over_graphs": "median of pairs, CUDA graphs"}
        found = [
            (report[field]["median"], by)
            for step, report in reports.items()
            if step.startswith(name)
            for field, by in fields.items()
            if report.get(field) is not None
        ]
        return max(found, default=(None, ""))

    goals = [Goal(f"{SIZE}, 9 evaluations, p50 ms", 100, True, *best("p50", 9, 1e3, min), "forecast")]
    for evaluations in (2, 1):
        student = f"{SIZE} student, {evaluations} evaluation{'s' if evaluations > 1 else ''}"
        goals += [
            Goal(f"{student}, p50 ms", 15, True, *best("p50", evaluations, 1e3, min), "student"),
            Goal(f"{student}, p99 ms", 20, True, *best("p99", evaluations, 1e3, min), "student"),
            Goal(f"{student}, forecasts/s", 60, False, *best("forecasts_per_second", evaluations, 1, max), "student"),
        ]
    return [
        *goals,
        Goal("official forecast's time / ours", 4, False, *ratio("official"), "forecast"),
        Goal("official training step's time / ours", 2, False, *ratio("training"), "training"),
    ]


def table(goals: list[Goal]) -> str:
    return "\n".join(
        ["| goal on an H100 | wanted | measured | |", "|---|---|---|---|", *(goal.line() for goal in goals)]
    )
