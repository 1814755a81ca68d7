"""Line charts side by side, by matplotlib: what all figures of reports have in common."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trajforecast_model.files.atomic import write_atomically

# Told apart by those who see no red or green.
BLUE, RED, GREEN, GREY = "#005ab5", "#dc3220", "#00875a", "#828288"
PANEL_INCHES = (5.6, 4.2)


@dataclass(frozen=True)
class Curve:
    """Points joined by a line."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    markers: bool = True


@dataclass(frozen=True)
class Panel:
    """One chart; both axes begin at zero."""

    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    x_ticks: Sequence[float] | None = None  # None: where matplotlib puts them


def draw_panels(panels: list[Panel], size: tuple[float, float] = PANEL_INCHES) -> Figure:
    """The panels in a row, each of (width, height) inches.

    Raises:
        ValueError: for a panel of no curve, or of values that are negative or not finite.
    """
    figure = Figure((size[0] * len(panels), size[1]), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, panel)
    return figure


def write_png(figure: Figure, path: Path) -> Path:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    write_atomically(path, picture.getvalue())
    return path


def _draw(axes: Axes, panel: Panel) -> None:
    values = [np.asarray([curve.x, curve.y], np.float64) for curve in panel.curves]
    if not values or not all(v.size and np.isfinite(v).all() and (v >= 0).all() for v in values):
        raise ValueError(f"chart {panel.title!r}: expected curves of finite values of at least zero")
    for curve in panel.curves:
        axes.plot(curve.x, curve.y, label=curve.name, color=curve.colour, marker="o" if curve.markers else None)
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    if panel.x_ticks is not None:
        axes.set_xticks(list(panel.x_ticks))
    ends = np.max([v.max(axis=1) for v in values], axis=0)
    axes.set_xlim(0, max(float(ends[0]), *(panel.x_ticks or [0])) * 1.02 or 1)
    axes.set_ylim(0, float(ends[1]) * 1.05 or 1)
    axes.grid(axis="y", alpha=0.4)
    axes.legend(frameon=False)
