"""A line chart as an RGB image: axes, curves, a legend. Drawn like the overlays, with OpenCV and our own lettering."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from trajforecast_model.tracks.lettering import draw_text, text_width

_BACKGROUND = (255, 255, 255)
_INK = (40, 40, 46)
_GRID = (226, 226, 230)
_SUBPIXEL_BITS = 4  # OpenCV takes line ends as fixed-point numbers
_MARGINS = (64, 44, 20, 72)  # left, top, right, bottom
_FONT, _TITLE_FONT = 15, 17

COLOURS = ((0, 90, 181), (220, 50, 32), (0, 135, 90), (130, 130, 136))  # told apart by those who see no red or green


@dataclass(frozen=True)
class Curve:
    """Points joined by a line."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: tuple[int, int, int]
    markers: bool = True


@dataclass(frozen=True)
class Chart:
    """What is drawn into one panel; both axes begin at zero."""

    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    x_ticks: Sequence[float] | None = None  # None: at round numbers


def draw_chart(chart: Chart, width: int = 560, height: int = 420) -> np.ndarray:
    """RGB uint8 [height, width, 3].

    Raises:
        ValueError: for no curve, or values that are negative or not finite.
    """
    values = [np.asarray([curve.x, curve.y], np.float64) for curve in chart.curves]
    if not values or not all(v.size and np.isfinite(v).all() and (v >= 0).all() for v in values):
        raise ValueError(f"chart {chart.title!r}: expected curves of finite values of at least zero")
    picture = np.full((height, width, 3), _BACKGROUND, np.uint8)
    left, top, right, bottom = _MARGINS
    area = (left, top, width - right, height - bottom)  # x0, y0, x1, y1
    x_ticks = list(chart.x_ticks) if chart.x_ticks is not None else round_ticks(max(v[0].max() for v in values))
    y_ticks = round_ticks(max(v[1].max() for v in values))
    x_end = max(x_ticks[-1], max(v[0].max() for v in values))
    y_end = y_ticks[-1]

    def place(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Values to pixels [N, 2]."""
        return np.stack([area[0] + x / x_end * (area[2] - area[0]), area[3] - y / y_end * (area[3] - area[1])], axis=-1)

    _draw_axes(picture, chart, area, x_ticks, y_ticks, place)
    for curve, (x, y) in zip(chart.curves, values, strict=True):
        points = np.rint(place(x, y) * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.polylines(picture, [points], False, curve.colour, 2, cv2.LINE_AA, _SUBPIXEL_BITS)
        if curve.markers:
            for centre in points.tolist():
                radius = round(3.5 * 2**_SUBPIXEL_BITS)
                cv2.circle(picture, centre, radius, curve.colour, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)
    _draw_legend(picture, chart.curves, area[0], height - _FONT)
    return picture


def round_ticks(end: float, most: int = 6) -> list[float]:
    """0 and the multiples of 1, 2 or 5 times a power of ten, up to the first at or beyond `end`."""
    if end <= 0:
        return [0.0, 1.0]
    power = 10.0 ** np.floor(np.log10(end / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if np.ceil(end / (factor * power)) <= most)
    return [float(number * step) for number in range(int(np.ceil(end / step)) + 1)]


def _draw_axes(picture: np.ndarray, chart: Chart, area: tuple, x_ticks: list, y_ticks: list, place) -> None:
    x0, y0, x1, y1 = area
    for tick in y_ticks:
        y = round(float(place(np.array(0.0), np.array(tick))[1]))
        cv2.line(picture, (x0, y), (x1, y), _GRID, 1)
        draw_text(picture, f"{tick:g}", (x0 - 8, y), _FONT, _INK, "rm")
    for tick in x_ticks:
        x = round(float(place(np.array(tick), np.array(0.0))[0]))
        cv2.line(picture, (x, y1), (x, y1 + 4), _INK, 1)
        draw_text(picture, f"{tick:g}", (x, y1 + 8), _FONT, _INK, "mt")
    cv2.line(picture, (x0, y1), (x1, y1), _INK, 1)
    draw_text(picture, f"{chart.title}; {chart.y_label}", (x0, y0 // 2), _TITLE_FONT, _INK, "lm")
    draw_text(picture, chart.x_label, (x1, y1 + 8 + 2 * _FONT), _FONT, _INK, "rm")


def _draw_legend(picture: np.ndarray, curves: list[Curve], x: int, y: int) -> None:
    for curve in curves:
        cv2.line(picture, (x, y), (x + 18, y), curve.colour, 3, cv2.LINE_AA)
        draw_text(picture, curve.name, (x + 24, y), _FONT, _INK, "lm")
        x += 24 + text_width(curve.name, _FONT) + 18
