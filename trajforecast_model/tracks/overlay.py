"""Forecasts drawn over the image they start from: thin lines for the samples, bold ones for their mean, colour = time.

`draw_forecast` draws one view; `compose_views` puts several beside each other with titles and a time bar.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from trajforecast_model.images import check_image
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.lettering import draw_text, shorten, text_width

_BACKGROUND = (18, 18, 22)
_TITLE = (240, 240, 240)
_CAPTION = (170, 170, 178)
_SUBPIXEL_BITS = 4  # OpenCV takes line ends as fixed-point numbers


@dataclass(frozen=True)
class OverlayStyle:
    """How a forecast is drawn. Lengths are pixels of the finished picture."""

    height: int = 512
    supersampling: int = 2  # drawn this many times larger, then averaged: smooth lines
    brightness: float = 0.8  # of the image under the lines
    min_motion: float = 1.5 / 128  # mean track's largest displacement, as a fraction of the image's longer side
    max_points: int = 260
    max_total_length: float = 36.0  # of the mean tracks, in heights of the picture: fewer points where they move far
    min_spacing: float = 11.0  # between the query points that are drawn
    sample_width: float = 1.0
    sample_opacity: float = 0.4
    mean_width: float = 1.9
    outline_width: float = 1.1
    head_radius: float = 2.2
    still_opacity: float = 0.22


DEFAULT_STYLE = OverlayStyle()


def draw_forecast(
    image: np.ndarray, tracks: np.ndarray, mean_track: np.ndarray, style: OverlayStyle = DEFAULT_STYLE
) -> np.ndarray:
    """Draws the futures of the query points that move.

    Args:
        image: RGB uint8 [h, w, 3].
        tracks: [k, T, H, W, 2] sampled futures, pixels of `image`.
        mean_track: [T, H, W, 2] their average.

    Returns:
        RGB uint8 [style.height, width in proportion, 3]

    Raises:
        ValueError: for an image that is not RGB uint8, or tracks of other shapes.
    """
    check_image(image, "image")
    _check_shapes(tracks, mean_track)
    width = max(1, round(image.shape[1] * style.height / image.shape[0]))
    scale = style.supersampling
    size = (style.height * scale, width * scale)
    canvas = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)
    canvas = cv2.convertScaleAbs(canvas, alpha=style.brightness)

    drawn, still = _choose_points(mean_track, image.shape[:2], size, style)
    still_points = rescale(mean_track[0][still], image.shape[:2], size)
    _blend_dots(canvas, still_points, 0.8 * scale, (255, 255, 255), style.still_opacity)
    if drawn.any():
        colours = time_colours(len(mean_track))
        for sample in tracks:
            lines = rescale(sample[:, drawn], image.shape[:2], size)  # [T, P, 2]
            _blend_lines(canvas, lines, colours, style.sample_width * scale, style.sample_opacity)
        mean = rescale(mean_track[:, drawn], image.shape[:2], size)
        _draw_mean(canvas, mean, colours, style)
    return cv2.resize(canvas, (width, style.height), interpolation=cv2.INTER_AREA)


def compose_views(
    pictures: dict[str, np.ndarray], instruction: str | None = None, horizon: float = 0.75, note: str = ""
) -> np.ndarray:
    """One figure of several drawn views: the instruction above, a title on each, a time bar below.

    Args:
        pictures: RGB uint8 [h, w, 3] by view name, as `draw_forecast` returns them; scaled to the first one's height.
        horizon: seconds from the first to the last frame of the tracks.
        note: a short remark at the lower left, such as the number of samples.

    Returns:
        RGB uint8
    """
    if not pictures:
        raise ValueError("no picture to compose; give at least one view")
    height = next(iter(pictures.values())).shape[0]
    unit = max(height // 32, 8)  # 16 px at 512
    panels = {view: _to_height(picture, height) for view, picture in pictures.items()}
    inner = sum(panel.shape[1] for panel in panels.values()) + unit * (len(panels) - 1)
    header, title, footer = 3 * unit, 2 * unit, 4 * unit
    figure = np.empty((header + title + height + footer, inner + 2 * unit, 3), np.uint8)
    figure[:] = _BACKGROUND

    font = int(1.45 * unit)
    words = f"“{instruction}”" if instruction else "no instruction"
    draw_text(figure, shorten(words, font, inner), (unit, header // 2 + unit // 3), font, _TITLE)
    x = unit
    for view, panel in panels.items():
        draw_text(figure, view, (x, header + title // 2), unit, _CAPTION)
        figure[header + title : header + title + height, x : x + panel.shape[1]] = panel
        x += panel.shape[1] + unit
    _draw_time_bar(figure, header + title + height + footer // 2, unit, inner, horizon, note)
    return figure


def time_colours(count: int) -> np.ndarray:
    """RGB uint8 [count, 3] from now to the horizon: the bright part of the plasma colour map."""
    # Its first quarter is too dark to be seen over an image.
    values = np.linspace(0.28, 0.97, count) * 255
    return cv2.applyColorMap(np.rint(values).astype(np.uint8)[None], cv2.COLORMAP_PLASMA)[0, :, ::-1].copy()


def _check_shapes(tracks: np.ndarray, mean_track: np.ndarray) -> None:
    if np.ndim(tracks) != 5 or np.shape(tracks)[-1] != 2 or np.shape(tracks)[1:] != np.shape(mean_track):
        raise ValueError(
            f"expected tracks [k, T, H, W, 2] and their mean [T, H, W, 2], "
            f"got {list(np.shape(tracks))} and {list(np.shape(mean_track))}"
        )


def _choose_points(
    mean_track: np.ndarray, image_size: tuple[int, int], size: tuple[int, int], style: OverlayStyle
) -> tuple[np.ndarray, np.ndarray]:
    """Which query points are drawn as lines and which as dots, bool [H, W] each: a regular part of the grid, as dense
    as the style's limits on spacing and number allow."""
    motion = np.linalg.norm(mean_track - mean_track[0], axis=-1).max(axis=0)  # [H, W]
    moving = motion > style.min_motion * max(image_size)
    within = np.clip(mean_track, 0, image_size[::-1])
    length = np.linalg.norm(np.diff(within, axis=0), axis=-1).sum(axis=0) / image_size[0] * moving
    rows, columns = moving.shape
    spacing = min(size[0] / rows, size[1] / columns) / style.supersampling
    stride = max(1, int(np.ceil(style.min_spacing / spacing)))
    while (
        moving[_lattice(rows, columns, stride)].sum() > style.max_points
        or length[_lattice(rows, columns, stride)].sum() > style.max_total_length
    ) and stride < max(rows, columns):
        stride += 1
    lattice = np.zeros_like(moving)
    lattice[_lattice(rows, columns, stride)] = True
    dots = np.zeros_like(moving)
    dots[_lattice(rows, columns, max(stride, int(np.ceil(2 * style.min_spacing / spacing))))] = True
    return moving & lattice, dots & ~moving


def _lattice(rows: int, columns: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    return np.ix_(range(stride // 2, rows, stride), range(stride // 2, columns, stride))


def _blend_lines(canvas: np.ndarray, lines: np.ndarray, colours: np.ndarray, width: float, opacity: float) -> None:
    layer = canvas.copy()
    _draw_lines(layer, lines, colours, width)
    cv2.addWeighted(layer, opacity, canvas, 1 - opacity, 0, dst=canvas)


def _draw_mean(canvas: np.ndarray, lines: np.ndarray, colours: np.ndarray, style: OverlayStyle) -> None:
    scale = style.supersampling
    shadow = canvas.copy()
    black = np.zeros_like(colours)
    _draw_lines(shadow, lines, black, (style.mean_width + 2 * style.outline_width) * scale)
    _draw_dots(shadow, lines[-1], (style.head_radius + style.outline_width) * scale, black[-1])
    cv2.addWeighted(shadow, 0.55, canvas, 0.45, 0, dst=canvas)
    _draw_lines(canvas, lines, colours, style.mean_width * scale)
    _draw_dots(canvas, lines[-1], style.head_radius * scale, colours[-1])


def _draw_lines(canvas: np.ndarray, lines: np.ndarray, colours: np.ndarray, width: float) -> None:
    """Each step in time of all lines [T, P, 2] at once, later ones on top."""
    points = _fixed_point(lines)
    for step in range(len(points) - 1):
        segments = np.stack([points[step], points[step + 1]], axis=1)  # [P, 2, 2]
        cv2.polylines(
            canvas, list(segments), False, colours[step + 1].tolist(), max(1, round(width)), cv2.LINE_8, _SUBPIXEL_BITS
        )


def _draw_dots(canvas: np.ndarray, points: np.ndarray, radius: float, colour) -> None:
    fixed_radius = round(radius * 2**_SUBPIXEL_BITS)
    for x, y in _fixed_point(points).tolist():
        cv2.circle(canvas, (x, y), fixed_radius, tuple(int(c) for c in colour), cv2.FILLED, cv2.LINE_8, _SUBPIXEL_BITS)


def _blend_dots(canvas: np.ndarray, points: np.ndarray, radius: float, colour, opacity: float) -> None:
    layer = canvas.copy()
    _draw_dots(layer, points, radius, colour)
    cv2.addWeighted(layer, opacity, canvas, 1 - opacity, 0, dst=canvas)


def _fixed_point(points: np.ndarray) -> np.ndarray:
    # OpenCV counts from the centre of a pixel. Far outside the picture its fixed-point numbers would overflow.
    return np.rint((np.clip(points, -20000, 20000) - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)


def _to_height(picture: np.ndarray, height: int) -> np.ndarray:
    if picture.shape[0] == height:
        return picture
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _draw_time_bar(figure: np.ndarray, y: int, unit: int, inner: int, horizon: float, note: str) -> None:
    right = unit + inner
    end_label = f"+{horizon:.2f} s"
    bar_end = right - text_width(end_label, unit) - unit // 2
    bar_start = bar_end - min(14 * unit, inner // 3)
    thickness = max(unit // 2, 4)
    bar = _time_gradient(bar_end - bar_start)
    figure[y - thickness // 2 : y - thickness // 2 + thickness, bar_start:bar_end] = bar
    draw_text(figure, end_label, (right, y), unit, _CAPTION, "rm")
    draw_text(figure, "now", (bar_start - unit // 2, y), unit, _CAPTION, "rm")
    room = bar_start - unit - text_width("now", unit) - unit
    draw_text(figure, shorten(note, unit, room), (unit, y), unit, _CAPTION)


@lru_cache(maxsize=8)
def _time_gradient(width: int) -> np.ndarray:
    return time_colours(width)
