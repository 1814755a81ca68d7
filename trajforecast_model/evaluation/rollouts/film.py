"""A film of an episode: both views beside each other, as MP4."""

from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from trajforecast_model.files.atomic import temporary_beside
from trajforecast_model.sim.environment import CONTROL_HZ
from trajforecast_model.sim.scene.live_view import LiveView

_ENLARGED = 3  # times, so that 128 pixels can be looked at


class Film:
    """A context in which `take` adds a frame. The file appears when it is whole."""

    def __init__(self, path: Path, view: LiveView):
        self._path, self._view = path, view
        self._temporary = temporary_beside(path).with_suffix(".mp4")

    def __enter__(self) -> "Film":
        side = _ENLARGED * self._view.image_size
        self._writer = imageio_ffmpeg.write_frames(
            str(self._temporary), (side * len(self._view.views), side), fps=CONTROL_HZ, quality=7, macro_block_size=2
        )
        self._writer.send(None)
        return self

    def take(self) -> None:
        pictures = np.concatenate([self._view.image(view) for view in self._view.views], axis=1)
        large = cv2.resize(pictures, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
        self._writer.send(np.ascontiguousarray(large))

    def __exit__(self, kind, _error, _traceback) -> None:
        self._writer.close()
        if kind is None:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)
