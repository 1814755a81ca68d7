"""The figures of an evaluation: error over the horizon, error against k, spread against error. A panel a view."""

from pathlib import Path

import cv2
import numpy as np

from trajforecast_model.evaluation.reports.chart import COLOURS, Chart, Curve, draw_chart
from trajforecast_model.files.atomic import write_atomically

_BLUE, _RED, _GREEN, _GREY = COLOURS


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
    return [_write(folder / f"{name}.png", charts) for name, charts in figures.items()]


def _over_time(report: dict) -> list[Chart]:
    k = report["over_time"]["k"]
    charts = []
    for view, errors in report["over_time"]["views"].items():
        seconds = (np.arange(len(errors["mean_t"])) * report["convention"]["dt"]).tolist()
        curves = [
            Curve("nothing moves", seconds, errors["nothing_moves"], _GREY, markers=False),
            Curve("Mean", seconds, errors["mean"], _RED),
            Curve("MeanT", seconds, errors["mean_t"], _BLUE),
        ]
        charts.append(Chart(f"{view}, k = {k}", "seconds from now", "squared error, px^2 at 128 px", curves))
    return charts


def _by_k(report: dict) -> list[Chart]:
    counts = report["convention"]["k"]
    charts = []
    for view, row in report["views"].items():
        metrics = (("Mean", "mean", _RED), ("MeanT", "mean_t", _BLUE), ("Min", "min", _GREEN))
        curves = [
            Curve(name, counts, [row[metric][str(k)] for k in counts], colour) for name, metric, colour in metrics
        ]
        charts.append(Chart(view, "k, number of samples", "squared error, px^2 at 128 px", curves, x_ticks=counts))
    return charts


def _spread_and_error(report: dict) -> list[Chart]:
    charts = []
    for view, calibration in report["calibration"]["views"].items():
        groups = calibration["reliability"]
        predicted, error = ([group[name] for group in groups] for name in ("predicted_error", "error"))
        end = max(predicted)
        curves = [
            Curve("calibrated", [0, end], [0, end], _GREY, markers=False),
            Curve("tenths of the tracks, by predicted error", predicted, error, _BLUE),
        ]
        charts.append(
            Chart(
                f"{view}, k = {report['calibration']['k']}", "error that the samples predict, px", "error, px", curves
            )
        )
    return charts


def _write(path: Path, charts: list[Chart]) -> Path:
    figure = np.concatenate([draw_chart(chart) for chart in charts], axis=1)
    _, png = cv2.imencode(".png", figure[..., ::-1])
    write_atomically(path, png.tobytes())
    return path
