"""One moment of a video file as `predict` takes it: the picture then, and the frames before it."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trajforecast_model.data.sources.pictures import read_video, video_length_and_fps


class Moment(NamedTuple):
    image: np.ndarray  # uint8 [H, W, 3], in the video's own size
    before: np.ndarray  # uint8 [n, H, W, 3], oldest first
    stamps: np.ndarray  # [n], seconds since the image, below zero


def read_moment(path: Path, at: float, seconds: float) -> Moment:
    """The frame at `at` seconds of a video, the last one not later, and those of the `seconds` before it.

    Raises:
        ValueError: for a video that cannot be read or does not tell its rate, and where it ends before `at`.
    """
    if not (math.isfinite(at) and at >= 0):
        raise ValueError(f"--at {at:g}: expected seconds from the video's beginning, 0 or more")
    if not path.is_file():
        raise ValueError(f"--video: {path} does not exist" if not path.exists() else f"--video: {path} is not a file")
    length, fps = video_length_and_fps(path)
    if not fps > 0:
        raise ValueError(f"--video: {path} does not tell its rate; convert it, say with ffmpeg -i {path.name} -r 30")
    now = math.floor(at * fps + 1e-6)
    if length and now >= length:
        raise ValueError(f"--at {at:g}: {path} ends after {length / fps:.2f} s ({length} frames at {fps:g} a second)")
    first = max(0, now - math.ceil(seconds * fps))
    try:
        frames = np.stack(read_video(path, None, first, now - first + 1).frames)
    except ValueError as error:
        raise ValueError(f"--at {at:g}: {error}") from error
    if len(frames) <= now - first:
        raise ValueError(f"--at {at:g}: {path} ends after {(first + len(frames)) / fps:.2f} s")
    return Moment(frames[-1], frames[:-1], np.arange(first - now, 0) / fps)
