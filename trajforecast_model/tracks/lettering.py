"""Anti-aliased text on RGB images.

Pillow carries a TrueType font, so a figure looks the same on every machine; OpenCV only draws plotter strokes.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def draw_text(
    picture: np.ndarray, text: str, position: tuple[int, int], size: int, colour=(255, 255, 255), anchor: str = "lm"
) -> None:
    """Writes one line into `picture` (uint8 RGB [H, W, 3]) in place; what does not fit is cut off at its borders.

    Args:
        position: (x, y) of the anchor, pixels.
        size: font size in pixels.
        anchor: horizontal l, m or r, then vertical t, m or s (baseline), as in Pillow.
    """
    mask, left, top = _render(text, size, anchor)
    x, y = position[0] + left, position[1] + top
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + mask.shape[1], picture.shape[1]), min(y + mask.shape[0], picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    opacity = mask[y0 - y : y1 - y, x0 - x : x1 - x, None]
    region = picture[y0:y1, x0:x1]
    region[:] = np.rint(region * (1 - opacity) + np.array(colour, np.float32) * opacity)


def text_width(text: str, size: int) -> int:
    """Pixels that `text` takes at this font size."""
    return int(np.ceil(_font(size).getlength(text)))


def shorten(text: str, size: int, width: int) -> str:
    """`text`, or as much of its beginning as fits into `width` pixels with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1].rstrip()
    return text + "…"


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


@lru_cache(maxsize=256)
def _render(text: str, size: int, anchor: str) -> tuple[np.ndarray, int, int]:
    """Opacity [h, w] in [0, 1] and its top-left corner relative to the anchor."""
    left, top, right, bottom = (int(value) for value in _font(size).getbbox(text, anchor=anchor))
    canvas = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), text, fill=255, font=_font(size), anchor=anchor)
    return np.asarray(canvas, np.float32) / 255, left - 1, top - 1
