"""The report of an evaluation as a table for the terminal, with the papers' figures below."""

from trajforecast_model.evaluation.paper_figures import PAPER_K, PAPER_ROWS, PAPER_VIEWS

_METRICS = ("mean_t", "mean", "min")
_HEADINGS = ("MeanT", "Mean", "Min")
_NOTHING = "-"


def comparison_table(report: dict) -> str:
    """Ours per k and view with "nothing moves" beside, then the papers' rows.

    Args:
        report: what `trajforecast_model.evaluation.protocol.evaluate` returns.
    """
    views = list(report["views"])
    counts = [str(k) for k in report["convention"]["k"]]
    windows = ", ".join(f"{view} {report['views'][view]['n_windows']}" for view in views)
    lines = [f"squared error, px^2 at 128 px, summed over x and y; windows: {windows}", ""]
    lines += _table("this checkpoint, this data", views, _our_rows(report, views, counts))
    lines += ["", "from the papers, on other data (CoTracker's tracks of human demonstrations), k = 8:", ""]
    lines += _table("LIBERO suite, method", list(PAPER_VIEWS), _paper_rows())
    return "\n".join(lines)


def _our_rows(report: dict, views: list[str], counts: list[str]) -> list[list[str]]:
    still = [_number(report["views"][view]["nothing_moves"]) for view in views]
    rows = [["nothing moves", *(cell for value in still for cell in (value, _NOTHING, _NOTHING))]]
    for k in counts:
        rows.append([f"k = {k}", *(_number(report["views"][view][metric][k]) for view in views for metric in _METRICS)])
    if PAPER_K in counts:
        ratios = [
            _number(report["views"][view][metric][PAPER_K] / report["views"][view]["nothing_moves"])
            for view in views
            for metric in _METRICS
        ]
        rows.append([f"k = {PAPER_K}, of nothing moves", *ratios])
    return rows


def _paper_rows() -> list[list[str]]:
    rows = []
    for row in PAPER_ROWS:
        figures = [row.mean_t, row.mean, row.min]
        cells = [
            _NOTHING if figure is None else _number(figure[view])
            for view in range(len(PAPER_VIEWS))
            for figure in figures
        ]
        rows.append([f"{row.suite}, {row.method}", *cells])
    return rows


def _table(corner: str, views: list[str], rows: list[list[str]]) -> list[str]:
    header = [corner, *(f"{view} {heading}" for view in views for heading in _HEADINGS)]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    ruler = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [_line(header, widths), ruler, *(_line(row, widths) for row in rows)]


def _line(cells: list[str], widths: list[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))])


def _number(value: float) -> str:
    return f"{value:.2f}"
