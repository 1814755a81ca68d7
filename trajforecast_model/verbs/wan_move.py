"""`trajforecast export wan-move`: a forecast as the tracks that Wan-Move makes a video of (arXiv 2512.08765).

Its generate.py takes an image and two files:

tracks.npy      float32 [1, T, N, 2], x and y in pixels of the video's size, the centre of the first pixel at 0
visibility.npy  bool [1, T, N]
"""

import io
from pathlib import Path

import cv2
import numpy as np

from trajforecast_model.files.atomic import new_folder
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.viewing.forecast_files import ForecastFile, read_forecast


def export_wan_move(
    forecast: Path, out: Path, view: str | None, sample: str, size: tuple[int, int], frames: int | None
) -> None:
    """Writes tracks.npy, visibility.npy and, where the file has one, image.png.

    Args:
        view: of the forecast; None where it has one alone.
        sample: number of the sampled future, or "mean".
        size: (height, width) of the video, to which positions are scaled.
        frames: of the video; what the forecast does not reach is hidden. None for as many as the forecast has.

    Raises:
        ValueError: for a file that is no forecast, and a view, sample or number of frames that it does not have.
    """
    made = read_forecast(forecast)
    view = _view(made, view)
    picture = made.pictures.get(view)
    if picture is None:
        raise ValueError(f"{forecast} has no picture of {view}, whose size tells where tracks are; predict it anew")
    tracks = _sample(made, view, sample)  # [T, H, W, 2]
    length = len(tracks) if frames is None else frames
    if length < len(tracks):
        raise ValueError(f"--frames {length}: the forecast has {len(tracks)}; give as many or more")
    scaled = rescale(tracks, picture.shape[:2], size).reshape(len(tracks), -1, 2)
    seen = ((scaled >= 0) & (scaled < (size[1], size[0]))).all(axis=-1)
    if made.visibility is not None and view in made.visibility:
        probability = made.visibility[view]
        probability = probability.mean(axis=0) if sample == "mean" else probability[int(sample)]
        seen &= probability.reshape(seen.shape) > 0.5
    missing = length - len(tracks)
    scaled = np.concatenate([scaled, np.repeat(scaled[-1:], missing, axis=0)]) - 0.5
    seen = np.concatenate([seen, np.zeros((missing, seen.shape[1]), bool)])
    with new_folder(out) as folder:
        (folder / "tracks.npy").write_bytes(_npy(scaled[None].astype(np.float32)))
        (folder / "visibility.npy").write_bytes(_npy(seen[None]))
        image = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
        (folder / "image.png").write_bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())
    print(f"wrote {out}: {scaled.shape[1]} tracks of {length} frames, {made.dt:g} s apart in the forecast")


def parse_size(text: str) -> tuple[int, int]:
    """`480x832`, height and width. Raises ValueError for anything else."""
    height, _, width = text.replace("*", "x").partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ValueError(f"--size {text!r}: expected HEIGHTxWIDTH, for example 480x832")
    return int(height), int(width)


def _view(made: ForecastFile, view: str | None) -> str:
    if view is None and len(made.tracks) == 1:
        return next(iter(made.tracks))
    if view not in made.tracks:
        asked = "name one with --view" if view is None else f"--view {view} is none of them"
        raise ValueError(f"{made.path} has the views {', '.join(made.tracks)}; {asked}")
    return view


def _sample(made: ForecastFile, view: str, sample: str) -> np.ndarray:
    samples = made.tracks[view]
    if sample == "mean":
        return samples.mean(axis=0)
    if not sample.isdecimal() or int(sample) >= len(samples):
        raise ValueError(f"--sample {sample!r}: expected mean or a number from 0 to {len(samples) - 1}")
    return samples[int(sample)]


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
