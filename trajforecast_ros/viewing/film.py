"""The demo's pictures: recorded frames with the forecast that was valid for them drawn over, as MP4 and PNG."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from trajforecast_model.tracks.overlay import DEFAULT_STYLE, compose_views, draw_forecast
from trajforecast_ros.recording.recording import Recording

VIEW_HEIGHT = 448
FILM_STYLE = replace(DEFAULT_STYLE, height=VIEW_HEIGHT)
PICTURE_STYLE = replace(DEFAULT_STYLE, height=768)


@dataclass(frozen=True)
class Shot:
    """One frame of the film: the images of a moment and the newest forecast that was there for it."""

    image_stamp: int
    forecast_stamp: int


def shots(recording: Recording, view: str, horizon: float) -> list[Shot]:
    """Every recorded frame from the first forecast on, except those that the newest forecast does not reach.

    Args:
        view: whose images tell the frames.
        horizon: seconds that a forecast looks ahead.
    """
    forecasts = recording.forecast_stamps()
    chosen = []
    for stamp in recording.image_stamps(view):
        earlier = [forecast for forecast in forecasts if forecast <= stamp]
        if earlier and (stamp - earlier[-1]) / 1e9 <= horizon:
            chosen.append(Shot(stamp, earlier[-1]))
    return chosen


def draw_shot(recording: Recording, shot: Shot, style=PICTURE_STYLE) -> np.ndarray:
    """Both views beside each other, uint8 [height, width, 3]: the forecast over the images of the shot's moment."""
    forecast = recording.forecast(shot.forecast_stamp)
    pictures = {
        view: draw_forecast(
            recording.image(view, shot.image_stamp), forecast.tracks[index], forecast.mean_t[index], style
        )
        for index, view in enumerate(forecast.views)
    }
    samples = forecast.tracks.shape[1]
    return compose_views(pictures, forecast.instruction, note=f"{samples} sampled futures and their mean")


def write_film(recording: Recording, chosen: list[Shot], frames_per_second: float, path: Path, progress) -> None:
    """An H.264 film that browsers play. `progress` is called after each frame."""
    first = draw_shot(recording, chosen[0], FILM_STYLE)
    height, width = (length - length % 2 for length in first.shape[:2])  # the colour format takes even lengths only
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    writer = imageio_ffmpeg.write_frames(
        str(temporary), (width, height), fps=frames_per_second, codec="libx264", quality=6, macro_block_size=2
    )
    writer.send(None)
    try:
        with ProcessPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            for frame in pool.map(partial(draw_shot, recording, style=FILM_STYLE), chosen):
                writer.send(np.ascontiguousarray(frame[:height, :width]))
                progress()
    finally:
        writer.close()
    os.replace(temporary, path)


def write_picture(picture: np.ndarray, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.tmp.png")
    cv2.imwrite(str(temporary), picture[..., ::-1])
    os.replace(temporary, path)
