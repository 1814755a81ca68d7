"""The folder that record_node writes and the demo reads.

FOLDER/image_<view>_<stamp>.png    every camera image
FOLDER/forecast_<stamp>.npz        every forecast, with the fields of RecordedForecast
FOLDER/forecast_<stamp>_again2.npz a second forecast of the same images (a call of ~/predict), and so on

Stamps are nanoseconds, of arrival where a camera gives none. Files appear whole: they are written beside their place and
then renamed.
"""

import dataclasses
import io
import os
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np


@dataclass(frozen=True)
class RecordedForecast:
    stamp: int  # nanoseconds, of the newest image that it was made from
    views: tuple[str, ...]
    tracks: np.ndarray  # float32 [V, k, T, H, W, 2], pixels of each view's own image
    mean_t: np.ndarray  # float32 [V, T, H, W, 2]
    min: np.ndarray  # float32 [V, T, H, W, 2]
    instruction: str
    model_id: str
    compute_time: float  # seconds, of the model
    latency: float  # seconds from the arrival of the newest image at the recorder to that of the forecast


class Recording:
    """Raises ValueError when a file in the folder is not what its name says."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def write_image(self, view: str, stamp: int, rgb: np.ndarray) -> None:
        """rgb: uint8 [height, width, 3]"""
        # Little compression: the recorder shares its processor with the forecast.
        _, png = cv2.imencode(".png", rgb[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        self._write(f"image_{view}_{stamp}.png", png.tobytes())

    def write_forecast(self, forecast: RecordedForecast) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **{name: np.asarray(value) for name, value in _fields(forecast).items()})
        name = f"forecast_{forecast.stamp}"
        again = 1
        while (self.folder / f"{name}.npz").exists():
            again += 1
            name = f"forecast_{forecast.stamp}_again{again}"
        self._write(f"{name}.npz", buffer.getvalue())

    def image_stamps(self, view: str) -> list[int]:
        return self._stamps(f"image_{view}_", ".png")

    def forecast_stamps(self) -> list[int]:
        """Of every first forecast of its images."""
        return self._stamps("forecast_", ".npz")

    def image(self, view: str, stamp: int) -> np.ndarray:
        """uint8 [height, width, 3]"""
        path = self.folder / f"image_{view}_{stamp}.png"
        bgr = cv2.imread(str(path))
        if bgr is None:
            raise ValueError(f"{path} is not a picture; record again")
        return bgr[..., ::-1].copy()

    def forecast(self, stamp: int) -> RecordedForecast:
        path = self.folder / f"forecast_{stamp}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                values = {field.name: arrays[field.name] for field in dataclasses.fields(RecordedForecast)}
        except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
            raise ValueError(f"{path} is not a recorded forecast ({error}); record again") from error
        scalars = {name: value.item() for name, value in values.items() if value.ndim == 0}
        return RecordedForecast(**{**values, **scalars, "views": tuple(values["views"].tolist())})

    def _stamps(self, prefix: str, suffix: str) -> list[int]:
        names = (path.name for path in self.folder.glob(f"{prefix}*{suffix}"))
        stamps = (name.removeprefix(prefix).removesuffix(suffix) for name in names)
        return sorted(int(stamp) for stamp in stamps if stamp.isdigit())

    def _write(self, name: str, data: bytes) -> None:
        temporary = self.folder / f".{name}.tmp"
        temporary.write_bytes(data)
        os.replace(temporary, self.folder / name)


def _fields(forecast: RecordedForecast) -> dict:
    return {field.name: getattr(forecast, field.name) for field in dataclasses.fields(forecast)}
