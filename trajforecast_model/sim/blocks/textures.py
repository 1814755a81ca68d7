"""Pictures for the surfaces of blocks, drawn by formula: two colours in a pattern, so that a turning block is seen to
turn."""

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

SIZE = 64  # pixels a side; MuJoCo puts the picture on each of the six sides of a cube around the block


def _plain(rng: np.random.Generator) -> np.ndarray:
    return np.zeros((SIZE, SIZE))


def _checker(rng: np.random.Generator) -> np.ndarray:
    cells = rng.integers(2, 5)
    rows, columns = np.indices((SIZE, SIZE)) * cells // SIZE
    return (rows + columns) % 2


def _stripes(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, np.pi)
    rows, columns = np.indices((SIZE, SIZE)) / SIZE
    phase = rng.integers(2, 6) * (rows * np.sin(angle) + columns * np.cos(angle))
    return np.floor(2 * phase) % 2


def _dots(rng: np.random.Generator) -> np.ndarray:
    count = rng.integers(2, 5)
    rows, columns = (np.indices((SIZE, SIZE)) / SIZE * count) % 1 - 0.5
    return np.hypot(rows, columns) < 0.3


def _noise(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.random((8, 8)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), 0, 1)


PATTERNS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "plain": _plain,
    "checker": _checker,
    "stripes": _stripes,
    "dots": _dots,
    "noise": _noise,
}


def draw_texture(rng: np.random.Generator, pattern: str) -> bytes:
    """A PNG picture: a colour of random hue, and where the pattern says so another, lighter or darker one."""
    hue = rng.random()
    first = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.65, 1.0), rng.uniform(0.6, 0.95)))
    second = np.array(
        colorsys.hsv_to_rgb((hue + rng.uniform(0.1, 0.9)) % 1, rng.uniform(0.0, 0.8), rng.uniform(0.15, 1.0))
    )
    share = PATTERNS[pattern](rng)[..., None]
    colours = np.rint(255 * (first * (1 - share) + second * share)).astype(np.uint8)
    return cv2.imencode(".png", colours[..., ::-1])[1].tobytes()
