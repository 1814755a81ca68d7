"""A film of an episode: both views beside each other, as MP4."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from trajforecast_model.files.atomic import replacing
from trajforecast_model.sim.environment import CONTROL_HZ
from trajforecast_model.sim.scene.live_view import LiveView

_ENLARGED = 3  # times, so that 128 pixels can be looked at


@contextmanager
def filming(path: Path, view: LiveView) -> Iterator[Callable[[], None]]:
    """Gives what adds a frame of the moment. The file appears when it is whole."""
    side = _ENLARGED * view.image_size
    with replacing(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary), (side * len(view.views), side), fps=CONTROL_HZ, codec="libx264", quality=7,
            macro_block_size=2, output_params=["-f", "mp4"],
        )  # fmt: skip
        writer.send(None)

        def take() -> None:
            pictures = np.concatenate([view.image(name) for name in view.views], axis=1)
            large = cv2.resize(pictures, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
            writer.send(np.ascontiguousarray(large))

        try:
            yield take
        finally:
            writer.close()
