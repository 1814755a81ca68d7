"""The .npz files of `trajforecast predict` as moments to look at, of one model or of several that forecast the same."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from trajforecast_model.images import decode_rgb
from trajforecast_model.viewing.scenes import Scene, SeenView

_WANTED = ("tracks", "views")
PICTURE = "picture_"  # and the view's name: the encoded picture that was forecast from, uint8
DEFAULT_DT = 0.05  # seconds; files of older versions do not say


@dataclass(frozen=True)
class ForecastFile:
    path: Path
    tracks: dict[str, np.ndarray]  # by view, [k, T, H, W, 2]
    pictures: dict[str, np.ndarray]  # by view, RGB uint8, of those that the file has
    instruction: str
    dt: float
    visibility: dict[str, np.ndarray] | None = None  # by view, [k, T, H, W] probability, where the model tells


def read_forecast(path: Path) -> ForecastFile:
    """Raises ValueError where it is no forecast, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, BadZipFile, EOFError, KeyError) as error:
        raise ValueError(f"{path} is no .npz file, or it is damaged ({error}); make it with `predict --out`") from error
    if missing := [name for name in _WANTED if name not in arrays]:
        raise ValueError(f"{path} has no {' and no '.join(missing)}: it is not a forecast of `trajforecast predict`")
    tracks, views = arrays["tracks"], [str(view) for view in arrays["views"].reshape(-1)]
    if tracks.ndim != 6 or tracks.shape[-1] != 2 or len(tracks) != len(views) or 0 in tracks.shape:
        raise ValueError(f"{path}: tracks {list(tracks.shape)} of {len(views)} views, expected [V, k, T, H, W, 2]")
    if not np.issubdtype(tracks.dtype, np.floating):
        raise ValueError(f"{path}: tracks are {tracks.dtype}, expected pixels as floating-point numbers")
    pictures = {view: _picture(path, arrays[PICTURE + view]) for view in views if PICTURE + view in arrays}
    instruction, dt = str(arrays.get("instruction", "")), float(arrays.get("dt", DEFAULT_DT))
    visibility = None
    if "visibility" in arrays:
        visibility = dict(zip(views, arrays["visibility"], strict=True))
        if arrays["visibility"].shape != tracks.shape[:-1]:
            raise ValueError(f"{path}: visibility {list(arrays['visibility'].shape)} of tracks {list(tracks.shape)}")
    return ForecastFile(path, dict(zip(views, tracks, strict=True)), pictures, instruction, dt, visibility)


def scene_of_forecasts(title: str, forecasts: dict[str, ForecastFile], pictures: dict[str, np.ndarray]) -> Scene:
    """One moment, forecast by each model.

    Args:
        pictures: by view, in place of those in the files.

    Raises:
        ValueError: where models forecast different views, or over other pictures.
    """
    first, *others = forecasts.values()
    for other in others:
        if other.tracks.keys() != first.tracks.keys():
            raise ValueError(
                f"{first.path} has the views {', '.join(first.tracks)}, {other.path} has {', '.join(other.tracks)}; give "
                "forecasts of the same moment"
            )
    if unknown := pictures.keys() - first.tracks.keys():
        raise ValueError(
            f"image: view {sorted(unknown)[0]!r} is not in {first.path}, which has {', '.join(first.tracks)}"
        )
    views = []
    for view in first.tracks:
        seen = (
            [pictures[view]] if view in pictures else [f.pictures[view] for f in (first, *others) if view in f.pictures]
        )
        if len({picture.shape for picture in seen}) > 1:
            raise ValueError(
                f"view {view!r}: the forecasts are over pictures of different sizes; give forecasts of the same"
            )
        tracks = {model: forecast.tracks[view] for model, forecast in forecasts.items()}
        views.append(SeenView(view, seen[0] if seen else None, tracks))
    return Scene(title, first.instruction, first.dt, tuple(views))


def _picture(path: Path, encoded: np.ndarray) -> np.ndarray:
    picture = decode_rgb(encoded.tobytes())
    if picture is None:
        raise ValueError(f"{path} has a damaged picture; give the image file with --image VIEW=FILE")
    return picture
