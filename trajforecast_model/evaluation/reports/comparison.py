"""`trajforecast compare`: reports of several models on the same windows, side by side, and their ratios."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trajforecast_model.evaluation.metrics.bootstrap import LEVEL, DemoBootstrap
from trajforecast_model.evaluation.reports.names import distinct_names
from trajforecast_model.evaluation.reports.paper_figures import PAPER_K, PAPER_VIEWS, paper_ratios
from trajforecast_model.evaluation.reports.tables import (
    HEADINGS,
    Table,
    as_number,
    as_range,
    extrapolation_rows,
    table_as_markdown,
    table_as_text,
)
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.outputs import ready_file

METRICS = ("mean_t", "mean", "min")
# What may differ between two reports that are compared: how a model samples is part of the model.
_FREE = {
    "k",
    "solver_steps",
    "dtype",
    "seed",
    "max_windows",
    "split",
    "calibration",
    "history_frames",
    "extrapolations",
}


@dataclass(frozen=True)
class Report:
    name: str
    values: dict  # what `evaluate` wrote


def compare(paths: list[Path], out: Path | None = None, k: int | None = None) -> list[Table]:
    """Prints the errors of each report and the ratios of the first one's to every other's.

    Args:
        paths: reports of `evaluate`, two or more; the first is the one whose ratios are taken.
        out: also write the tables to this file, as Markdown.
        k: number of samples (default: the largest that all have).

    Returns:
        The tables.

    Raises:
        ValueError: for files that are no reports, or reports on other windows or by another convention.
    """
    if len(paths) < 2:
        raise ValueError(f"reports: got {len(paths)}, expected two or more, the first being the one to compare")
    out = None if out is None else ready_file("out", out)
    names = distinct_names(paths, shortest=lambda path: path.stem)
    reports = [Report(name, _read(path)) for name, path in zip(names, paths, strict=True)]
    for other in reports[1:]:
        _check_same_subject(reports[0], other)
    k_name = _common_k(reports, k)
    tables = [_errors(reports, k_name), *(_ratios(reports[0], other, k_name) for other in reports[1:]), _papers()]
    print("\n\n".join(table_as_text(table) for table in tables))
    if out is not None:
        write_atomically(out, ("\n\n".join(table_as_markdown(table) for table in tables) + "\n").encode())
        print(f"wrote {out}")
    return tables


def _read(path: Path) -> dict:
    try:
        values = json.loads(Path(path).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from error
    missing = {"views", "per_demo", "convention", "windows"} - set(values if isinstance(values, dict) else ())
    if missing:
        raise ValueError(
            f"{path} is not a report of this version of `evaluate`: it has no {', '.join(sorted(missing))}"
        )
    try:
        whole = all(map(math.isfinite, _compared_figures(values)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is a damaged report, or not of this version of `evaluate`: {error!r}") from error
    if not whole:
        raise ValueError(f"{path} is a damaged report: some of its errors are not finite")
    return values


def _compared_figures(values: dict) -> Iterator[float]:
    """Raises KeyError, TypeError or AttributeError where a report has them not."""
    counts = [str(k) for k in values["convention"]["k"]]
    for view, row in values["views"].items():
        yield row["nothing_moves"]
        for part in (row, *values["per_demo"][view]):
            yield part["n_windows"]
            yield from (part[metric][k] for metric in METRICS for k in counts)


def _check_same_subject(first: Report, other: Report) -> None:
    ours, theirs = first.values["convention"], other.values["convention"]
    for name in sorted((set(ours) | set(theirs)) - _FREE):
        if ours.get(name) != theirs.get(name):
            raise ValueError(
                f"{other.name} cannot be compared with {first.name}: its {name} is {theirs.get(name)!r}, not "
                f"{ours.get(name)!r}"
            )
    if first.values["windows"] != other.values["windows"]:
        counts = [{view: row["n_windows"] for view, row in one.values["views"].items()} for one in (first, other)]
        raise ValueError(
            f"{other.name} was evaluated on other windows than {first.name} ({counts[1]}, not {counts[0]}, or other "
            "episodes); evaluate both on the same data with the same --split and --max-windows"
        )


def _common_k(reports: list[Report], k: int | None) -> str:
    common = set.intersection(*(set(report.values["convention"]["k"]) for report in reports))
    if not common or (k is not None and k not in common):
        raise ValueError(
            f"k: the reports have {sorted(common) or 'none'} in common" + (f", not {k}" if k is not None else "")
        )
    return str(max(common) if k is None else k)


def _errors(reports: list[Report], k: str) -> Table:
    views = reports[0].values["views"]
    still = [cell for row in views.values() for cell in (as_number(row["nothing_moves"]), "-", "-")]
    rows = [["nothing moves", *still]]
    # Some may be of data with a history and some of the same windows without it.
    with_history = next(
        (report for report in reports if any("extrapolations" in row for row in report.values["views"].values())),
        reports[0],
    )
    rows += extrapolation_rows(with_history.values["views"], len(METRICS))
    for report in reports:
        own = report.values["views"]
        rows.append([report.name, *(as_number(own[view][metric][k]) for view in views for metric in METRICS)])
    windows = ", ".join(f"{view} {row['n_windows']}" for view, row in views.items())
    return Table(
        f"squared error, px^2 at 128 px, summed over x and y, k = {k}; windows: {windows}", _header(views), rows
    )


def _ratios(first: Report, other: Report, k: str) -> Table:
    views = first.values["views"]
    ratios = [_ratio(first, other, view, metric, k) for view in views for metric in METRICS]
    intervals = [_interval(first, other, view, metric, k) for view in views for metric in METRICS]
    rows = [
        ["ratio", *map(as_number, ratios)],
        [f"{LEVEL:.0%} interval over demos, paired", *map(as_range, intervals)],
    ]
    return Table(f"{first.name} of {other.name}, k = {k}", _header(views), rows)


def _ratio(first: Report, other: Report, view: str, metric: str, k: str) -> float | None:
    """None of a forecast without any error."""
    ours, theirs = (report.values["views"][view][metric][k] for report in (first, other))
    return ours / theirs if theirs else None


def _interval(first: Report, other: Report, view: str, metric: str, k: str) -> list[float] | None:
    """The same demos are drawn for both models, so that what makes a demo hard for both cancels."""
    demos = first.values["per_demo"][view]
    # The windows are the same, and so is the order of the demos.
    sums = [
        [demo["n_windows"] * demo[metric][k] for demo in report.values["per_demo"][view]] for report in (first, other)
    ]
    return DemoBootstrap([(demo["task"], demo["demo"]) for demo in demos]).ratio(*sums)


def _papers() -> Table:
    rows = []
    for suite, baseline, ratios in paper_ratios():
        cells = [as_number(ratios[metric][view]) for view in range(len(PAPER_VIEWS)) for metric in METRICS]
        rows.append([f"{suite}, WHN of {baseline}", *cells])
    return Table(f"the paper's own ratios, on other data, k = {PAPER_K}", _header(PAPER_VIEWS), rows)


def _header(views) -> list[str]:
    return [f"{view} {HEADINGS[metric]}" for view in views for metric in METRICS]
