"""The figures of an evaluation: error over the horizon, error against k, spread against error. A panel a view."""

from pathlib import Path

import numpy as np

from trajforecast_model.evaluation.reports.panels import BLUE, GREEN, GREY, RED, Curve, Panel, draw_panels, write_png


def draw_plots(report: dict, folder: Path) -> list[Path]:
    """Writes `error_over_time.png`, `error_by_k.png` and, for more than one sample, `spread_and_error.png`.

    Args:
        report: what `trajforecast_model.evaluation.protocol.evaluate` returns.

    Returns:
        What was written.
    """
    figures = {"error_over_time": _over_time(report), "error_by_k": _by_k(report)}
    if report["calibration"] is not None:
        figures["spread_and_error"] = _spread_and_error(report)
    return [write_png(draw_panels(panels), folder / f"{name}.png") for name, panels in figures.items()]


def _over_time(report: dict) -> list[Panel]:
    k = report["over_time"]["k"]
    panels = []
    for view, errors in report["over_time"]["views"].items():
        seconds = (np.arange(len(errors["mean_t"])) * report["convention"]["dt"]).tolist()
        curves = [
            Curve("nothing moves", seconds, errors["nothing_moves"], GREY, markers=False),
            Curve("Mean", seconds, errors["mean"], RED),
            Curve("MeanT", seconds, errors["mean_t"], BLUE),
        ]
        panels.append(Panel(f"{view}, k = {k}", "seconds from now", "squared error, px^2 at 128 px", curves))
    return panels


def _by_k(report: dict) -> list[Panel]:
    counts = report["convention"]["k"]
    panels = []
    for view, row in report["views"].items():
        metrics = (("Mean", "mean", RED), ("MeanT", "mean_t", BLUE), ("Min", "min", GREEN))
        curves = [
            Curve(name, counts, [row[metric][str(k)] for k in counts], colour) for name, metric, colour in metrics
        ]
        panels.append(Panel(view, "k, number of samples", "squared error, px^2 at 128 px", curves, x_ticks=counts))
    return panels


def _spread_and_error(report: dict) -> list[Panel]:
    panels = []
    for view, calibration in report["calibration"]["views"].items():
        groups = calibration["reliability"]
        predicted, error = ([group[name] for group in groups] for name in ("predicted_error", "error"))
        end = max(predicted)
        curves = [
            Curve("calibrated", [0, end], [0, end], GREY, markers=False),
            Curve("tenths of the tracks, by predicted error", predicted, error, BLUE),
        ]
        panels.append(
            Panel(
                f"{view}, k = {report['calibration']['k']}", "error that the samples predict, px", "error, px", curves
            )
        )
    return panels
