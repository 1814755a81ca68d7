"""The report of TrajLoom's benchmark as tables, with the paper's below, in the scales that the paper prints."""

from trajforecast_model.evaluation.reports.tables import Table, as_number, table_as_markdown, table_as_text
from trajforecast_model.evaluation.reports.trajloom_figures import DATASETS, PAPER_ROWS, PaperRow

# What each figure is called, and what it is multiplied by in print.
METRICS = {
    "fvmd": ("FVMD", 1.0),
    "fvmd_long": ("FVMD-Long /1000", 1e-3),
    "flow_tv": ("FlowTV x100", 100.0),
    "div_curl_energy": ("DivCurlE x1000", 1000.0),
    "vepe": ("VEPE", 1.0),
    "vepe_first_24": ("VEPE, 24 frames", 1.0),
    "visibility_accuracy": ("visibility", 1.0),
}


def as_text(report: dict) -> str:
    """Every row of every view over the truly visible points, then the paper's tables."""
    tables = [*_ours(report, "visible"), *_papers()]
    return "\n\n".join(table_as_text(table) for table in tables)


def as_markdown(report: dict) -> str:
    """Everything of `as_text`, with the figures over all points beside."""
    tables = [*_ours(report, "visible"), *_ours(report, "all_points"), *_papers()]
    return "\n\n".join(table_as_markdown(table) for table in tables) + "\n"


def _ours(report: dict, points: str) -> list[Table]:
    tables = []
    for view, part in report["views"].items():
        rows = [
            [name, *(_cell(row[points], metric) for metric in METRICS)]
            for name, row in part["rows"].items()
            if row[points] is not None
        ]
        counted = "truly visible points" if points == "visible" else "all points, hidden ones too"
        title = f"{view}: {part['n_clips']} clips, {counted}"
        if part["visible_share"] is not None and points == "visible":
            title += f", {part['visible_share']:.0%} of all"
        if part["n_unmasked"] and points == "visible":
            title += f" ({part['n_unmasked']} clips have no visibility: every point of theirs counts)"
        tables.append(Table(title, [heading for heading, _ in METRICS.values()], rows))
    return tables


def _cell(row: dict, metric: str) -> str:
    value, scale = row.get(metric), METRICS[metric][1]
    value = value["combined"] if isinstance(value, dict) else value
    return "-" if value is None else as_number(scale * value)


def _papers() -> list[Table]:
    """A table a figure: the paper's own tables, by their numbers, are its rows."""
    tables = []
    for metric, (heading, _) in METRICS.items():
        if not hasattr(PaperRow, metric):
            continue
        rows = [
            [f"table {row.table}, {row.method}", *(f"{value:g}" for value in figures)]
            for row in PAPER_ROWS
            if (figures := getattr(row, metric)) is not None
        ]
        tables.append(Table(f"{heading}, from the paper", list(DATASETS), rows))
    return tables
