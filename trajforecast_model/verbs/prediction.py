"""The verb `predict`: image files or videos and an instruction in, an npz file of sampled futures and a picture out."""

import io
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.outputs import ready_file
from trajforecast_model.files.paths import expanded
from trajforecast_model.forecaster import Forecast, Forecaster
from trajforecast_model.images import decode_rgb
from trajforecast_model.tracks.overlay import OverlayStyle, compose_views, draw_forecast
from trajforecast_model.verbs.video_moment import read_moment
from trajforecast_model.viewing.forecast_files import PICTURE

OVERLAY_HEIGHT = 640


@dataclass(frozen=True)
class GivenFiles:
    """What a forecast is made of: pictures by view, or videos and a moment of them."""

    files: dict[str, Path]
    at: float | None = None  # seconds, of videos


def predict_files(
    checkpoint: str | Path,
    given: GivenFiles,
    instruction: str,
    k: int,
    steps: int | None,
    seed: int,
    device: str,
    dtype: str,
    out: Path,
    overlay: Path | None,
) -> Forecast:
    """Forecasts from image files and writes the npz with tracks, mean_track, medoid, spread, views, and what `view` shows of it beside.

    Args:
        given: image or video files by view. Tracks are in pixels of that file's image. Of videos, a model with history sees
            the frames before the moment too.
        out: the npz file; its folder is made where it is missing.
        overlay: PNG of the tracks drawn over the images, or None.

    Raises:
        ValueError: for arguments, files or a checkpoint that cannot be used, saying which.
    """
    out = Path(out)
    if out.suffix != ".npz":
        raise ValueError(f"out: got {out}, expected a file name that ends in .npz")
    if overlay is not None and Path(overlay).suffix.lower() != ".png":
        raise ValueError(f"overlay: got {overlay}, expected a file name that ends in .png")
    out, overlay = ready_file("out", out), None if overlay is None else ready_file("overlay", overlay)
    if not instruction.strip():
        raise ValueError("instruction: is empty, expected what the robot is told to do")
    images, past = read_files(given, 0.0)  # what cannot be read is told before the networks are loaded
    forecaster = Forecaster.from_pretrained(checkpoint, device=device, dtype=dtype)
    if forecaster.history_frames:
        images, past = read_files(given, forecaster.history_frames * forecaster.config.dt)
    start = time.perf_counter()
    forecast = forecaster.predict(images, instruction, k=k, steps=steps, seed=seed, **past)
    seconds = time.perf_counter() - start

    write_atomically(out, _npz(forecast, images, instruction))
    views, samples, *shape, _ = forecast.tracks.shape
    written = f"wrote {out}: tracks of {views} views, k = {samples}, (T, H, W) = {tuple(shape)}, in {seconds:.2f} s"
    if overlay is not None:
        write_atomically(overlay, _encode(draw_overlay(images, forecast, instruction), ".png").tobytes())
        written += f"; drawn in {overlay}"
    print(written)
    return forecast


def read_rgb(path: Path) -> np.ndarray:
    """An image file as RGB uint8 [H, W, 3]; grey becomes RGB, alpha is dropped.

    Raises:
        ValueError: for a file that is missing or no image, and for values that are not of 8 bits, as in depth maps.
    """
    if not path.is_file():
        raise ValueError(f"image {path} does not exist" if not path.exists() else f"image {path} is not a file")
    try:
        image = decode_rgb(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"image {path} {error}") from error
    if image is None:
        raise ValueError(f"image {path} is not an image that OpenCV can read, or it is damaged; expected PNG or JPEG")
    return image


def draw_overlay(images: dict[str, np.ndarray], forecast: Forecast, instruction: str | None) -> np.ndarray:
    """The forecast over its images, views side by side, RGB uint8."""
    style = OverlayStyle(height=OVERLAY_HEIGHT)
    pictures = {
        view: draw_forecast(images[view], forecast.tracks[index], forecast.mean_track[index], style)
        for index, view in enumerate(forecast.views)
    }
    num_samples, num_frames = forecast.tracks.shape[1:3]
    note = f"{num_samples} sampled futures (thin) and their mean (bold)"
    return compose_views(pictures, instruction, (num_frames - 1) * forecast.dt, note)


def given_files(images: list[str] | None, videos: list[str] | None, at: float | None) -> GivenFiles:
    """
    Args:
        images, videos: VIEW=FILE, such as "side=a.png".

    Raises:
        ValueError: unless either images or videos are given, and `at` with videos alone.
    """
    if bool(images) == bool(videos):
        raise ValueError("image: give --image VIEW=FILE for each view, or --video VIEW=FILE and --at SECONDS")
    if (at is None) == bool(videos):
        raise ValueError("at: --video needs the moment, --at SECONDS" if videos else "at: is for --video; leave it out")
    return GivenFiles(_by_view("video", videos) if videos else _by_view("image", images), at)


def read_files(given: GivenFiles, seconds_before: float) -> tuple[dict[str, np.ndarray], dict]:
    """Images by view, and what else `Forecaster.predict` takes of the past, which reaches `seconds_before` back."""
    if given.at is None:
        return {view: read_rgb(path) for view, path in given.files.items()}, {}
    moments = {view: read_moment(path, given.at, seconds_before) for view, path in given.files.items()}
    images = {view: moment.image for view, moment in moments.items()}
    with_past = {view: moment for view, moment in moments.items() if len(moment.before) >= 2}
    if not with_past:
        return images, {}
    return images, {
        "history": {view: moment.before for view, moment in with_past.items()},
        "history_stamps": {view: moment.stamps for view, moment in with_past.items()},
    }


def _by_view(kind: str, arguments: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for argument in arguments:
        view, equals, file = argument.partition("=")
        if not (view and equals and file):
            raise ValueError(f"{kind}: got {argument!r}, expected VIEW=FILE, e.g. side=a.png")
        if view in files:
            raise ValueError(f"{kind}: view {view!r} is given twice, {files[view]} and {file}")
        files[view] = expanded(file)
    return files


def _npz(forecast: Forecast, images: dict[str, np.ndarray], instruction: str) -> bytes:
    """What the forecast says, and for `view` what it was made from."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        tracks=forecast.tracks,
        mean_track=forecast.mean_track,
        medoid=forecast.medoid,
        spread=forecast.spread,
        views=np.array(forecast.views),
        instruction=np.array(instruction),
        dt=np.array(forecast.dt),
        **({} if forecast.visibility is None else {"visibility": forecast.visibility}),
        **{PICTURE + view: _encode(images[view], ".jpg") for view in forecast.views},
    )
    return buffer.getvalue()


def _encode(rgb: np.ndarray, kind: str) -> np.ndarray:
    """uint8 of a file that ends in `kind`."""
    return cv2.imencode(kind, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
