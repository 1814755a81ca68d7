"""The report of an evaluation as tables, for the terminal or as Markdown, with the papers' figures below."""

from dataclasses import dataclass

from trajforecast_model.evaluation.forecasters.extrapolations import TITLES
from trajforecast_model.evaluation.reports.paper_figures import PAPER_K, PAPER_ROWS, PAPER_VIEWS

HEADINGS = {"mean_t": "MeanT", "mean": "Mean", "min": "Min", "min_per_track": "Min/track"}
_NOTHING = "-"


@dataclass(frozen=True)
class Table:
    """Cells of text: a row's name first, then one cell a column."""

    title: str
    header: list[str]
    rows: list[list[str]]


def as_text(report: dict) -> str:
    """Ours per k and view with "nothing moves" beside, other conventions, suites, calibration, the papers' rows.

    Args:
        report: what `trajforecast_model.evaluation.protocol.evaluate` returns.
    """
    metrics = ["mean_t", "mean", "min"]
    tables = [
        _errors(report, metrics, ratio_intervals=False),
        _other_conventions(report, metrics),
        _groups(report, "suite", metrics),
        *_calibration(report),
        *_visibility(report),
        _papers(),
    ]
    return "\n\n".join([_subject(report), *(table_as_text(table) for table in tables)])


def as_markdown(report: dict) -> str:
    """Everything of `as_text`, with the other conventions for every k, intervals of each suite, and every task."""
    metrics = list(HEADINGS)
    tables = [
        _errors(report, metrics, ratio_intervals=True),
        _averaged_over_xy(report, metrics),
        _groups(report, "suite", metrics, intervals=True),
        _groups(report, "task", metrics, intervals=True),
        *_calibration(report),
        *_visibility(report),
        _papers(),
    ]
    return (
        "\n\n".join([f"`{report['model']}`: {_subject(report)}", *(table_as_markdown(table) for table in tables)])
        + "\n"
    )


def _subject(report: dict) -> str:
    windows = ", ".join(
        f"{view} {row['n_windows']} of {report['intervals']['views'][view]['n_demos']} demos"
        for view, row in report["views"].items()
    )
    return f"squared error, px^2 at 128 px, summed over x and y; windows: {windows}"


def _errors(report: dict, metrics: list[str], ratio_intervals: bool) -> Table:
    views, counts = report["views"], _counts(report)
    rows = _error_rows(views, metrics, counts)
    k = PAPER_K if PAPER_K in counts else counts[-1]
    intervals = report["intervals"]["views"]
    level = f"{report['intervals']['level']:.0%}"
    rows.append([f"k = {k}, {level} interval", *_cells(views, metrics, lambda v, m: as_range(intervals[v][m][k]))])
    cells = _cells(views, metrics, lambda v, m: as_number(views[v][m][k] / views[v]["nothing_moves"]))
    rows.append([f"k = {k}, of nothing moves", *cells])
    if ratio_intervals:
        cells = _cells(views, metrics, lambda v, m: as_range(intervals[v]["of_nothing_moves"][m][k]))
        rows.append([f"k = {k}, of nothing moves, {level} interval", *cells])
    return Table("this checkpoint, this data", _columns(views, metrics), rows)


def _averaged_over_xy(report: dict, metrics: list[str]) -> Table:
    views = {view: row["averaged_over_xy"] for view, row in report["views"].items()}
    rows = _error_rows(views, metrics, _counts(report))
    return Table("the same, averaged over x and y instead of summed", _columns(views, metrics), rows)


def _other_conventions(report: dict, metrics: list[str]) -> Table:
    """For the largest k: half of the squares, and the best sample of each track rather than of the window."""
    views, k = report["views"], _counts(report)[-1]
    halved = _cells(views, metrics, lambda v, m: as_number(views[v]["averaged_over_xy"][m][k]))
    per_track = _cells(views, metrics, lambda v, m: as_number(views[v]["min_per_track"][k]) if m == "min" else _NOTHING)
    rows = [["averaged over x and y", *halved], ["the best sample of each track", *per_track]]
    return Table(f"by the other conventions, k = {k}", _columns(views, metrics), rows)


def _groups(report: dict, group: str, metrics: list[str], intervals: bool = False) -> Table:
    """A row for each suite or task, with "nothing moves" first."""
    views, k = report["views"], _counts(report)[-1]
    rows = []
    for name, by_view in report[f"per_{group}"].items():
        cells = []
        for view in views:
            row = by_view.get(view)
            cells += [_NOTHING] * (1 + len(metrics)) if row is None else [as_number(row["nothing_moves"])]
            for metric in metrics if row is not None else ():
                interval = report["intervals"][f"per_{group}"][name][view][metric][k] if intervals else None
                cells.append(as_number(row[metric][k]) + (f" ({as_range(interval)})" if interval else ""))
        rows.append([name.replace("_", " "), *cells])
    header = [f"{view} {name}" for view in views for name in ("still", *(HEADINGS[metric] for metric in metrics))]
    return Table(f"each {group}, k = {k}; still: nothing moves", header, rows)


def _calibration(report: dict) -> list[Table]:
    """Nothing for k = 1."""
    if report["calibration"] is None:
        return []
    views = report["calibration"]["views"]
    expected = next(iter(views.values()))["coverage"]["expected_per_coordinate"]
    rows = [
        [f"truth between the samples, per coordinate ({expected:.2f})"]
        + [as_number(view["coverage"]["per_coordinate"]) for view in views.values()],
        ["error, of the one that the samples predict (1)"]
        + [as_number(view["error_over_predicted"]) for view in views.values()],
        ["rank correlation of the two over tracks"]
        + [as_number(view["correlation"]["spearman"]) for view in views.values()],
    ]
    title = f"spread of the k = {report['calibration']['k']} samples (a calibrated forecast in brackets)"
    return [Table(title, list(views), rows)]


def _papers() -> Table:
    rows = []
    for row in PAPER_ROWS:
        figures = [row.mean_t, row.mean, row.min]
        cells = [
            _NOTHING if figure is None else as_number(figure[view])
            for view in range(len(PAPER_VIEWS))
            for figure in figures
        ]
        rows.append([f"{row.suite}, {row.method}", *cells])
    title = f"from the papers, on other data (CoTracker's tracks of human demonstrations), k = {PAPER_K}"
    return Table(title, _columns(PAPER_VIEWS, ["mean_t", "mean", "min"]), rows)


def _error_rows(views: dict, metrics: list[str], counts: list[str]) -> list[list[str]]:
    # Without samples, MeanT, Mean and Min are the same: it stands once.
    still = [[as_number(row["nothing_moves"])] + [_NOTHING] * (len(metrics) - 1) for row in views.values()]
    rows = [["nothing moves", *(cell for cells in still for cell in cells)]]
    rows += extrapolation_rows(views, len(metrics))
    for k in counts:
        rows.append([f"k = {k}", *(as_number(row[metric][k]) for row in views.values() for metric in metrics)])
    return rows


def extrapolation_rows(views: dict, columns: int) -> list[list[str]]:
    """A row for each extrapolation, in the first of some columns a view; none where the data has no history."""
    names = dict.fromkeys(name for row in views.values() for name in row.get("extrapolations", ()))
    return [
        [TITLES[name]]
        + [
            cell
            for row in views.values()
            for cell in [as_number(row.get("extrapolations", {}).get(name))] + [_NOTHING] * (columns - 1)
        ]
        for name in names
    ]


def _visibility(report: dict) -> list[Table]:
    """Nothing of a report without windows that tell it."""
    views = {view: row["visibility"] for view, row in report["views"].items() if "visibility" in row}
    if not views:
        return []
    fractions = {
        "truly visible": "visible",
        "visibility forecast right": "occlusion_accuracy",
        "average Jaccard": "average_jaccard",
        "truly visible, all points of the grid": "visible_everywhere",
        "visibility forecast right, all points": "occlusion_accuracy_everywhere",
    }
    rows = [[title, *(as_number(view[name]) for view in views.values())] for title, name in fractions.items()]
    thresholds = dict.fromkeys(px for view in views.values() for px in view["points_within"] or ())
    for px in thresholds:
        shares = [(view["points_within"] or {}).get(px) for view in views.values()]
        rows.append([f"visible points within {px} px", *map(as_number, shares)])
    k = _counts(report)[-1]
    return [
        Table(f"fractions, frames after the present one, average of k = {k} samples, px at 256 px", list(views), rows)
    ]


def _cells(views, metrics: list[str], cell) -> list[str]:
    return [cell(view, metric) for view in views for metric in metrics]


def _columns(views, metrics: list[str]) -> list[str]:
    return [f"{view} {HEADINGS[metric]}" for view in views for metric in metrics]


def _counts(report: dict) -> list[str]:
    return [str(k) for k in report["convention"]["k"]]


def table_as_text(table: Table) -> str:
    header = ["", *table.header]
    widths = [max(len(row[column]) for row in [header, *table.rows]) for column in range(len(header))]
    ruler = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([f"{table.title}:", _line(header, widths), ruler, *(_line(row, widths) for row in table.rows)])


def _line(cells: list[str], widths: list[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))])


def table_as_markdown(table: Table) -> str:
    rows = [["", *table.header], ["---", *("---:" for _ in table.header)], *table.rows]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"**{table.title}**", "", *lines])


def as_number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f}"


def as_range(interval: list[float] | None) -> str:
    return _NOTHING if interval is None else f"{interval[0]:.3g} to {interval[1]:.3g}"
