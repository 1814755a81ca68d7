"""Moments as a recording for Rerun (.rrd), whose viewer then shows what a page would. Takes rerun-sdk, the extra `view`."""

from pathlib import Path

import numpy as np
import rerun
from rerun import blueprint

from trajforecast_model.files.atomic import replacing
from trajforecast_model.tracks.overlay import time_colours
from trajforecast_model.viewing.scenes import Scene, SeenView
from trajforecast_model.viewing.shown_points import MOST_TRACK_BYTES, shown_points

TIMELINE = "future"  # seconds from the picture on
_STILL, _TRUTH = (150, 150, 158), (255, 255, 255)
_RADII = {"samples": 0.15, "mean": 0.5, "truth": 0.35, "still": 0.3}  # pixels of the picture


def write_recording(out: Path, title: str, scenes: list[Scene]) -> None:
    """A tab for each moment; in it a panel for each view and model, where the lines grow as the future goes on.

    Entities are `moment/view/model/samples`, `.../mean`, and `moment/view/picture`, `.../still` and `.../truth`, beside
    `moment/instruction`. What the recording shows of a step are the pieces of the lines that lead to it.
    """
    views = sum(len(scene.views) for scene in scenes)
    stream = rerun.RecordingStream("trajforecast")
    tabs = []
    with replacing(out) as temporary:
        stream.save(temporary)
        stream.set_log_time_enabled(False)  # when it was written is no time of the forecast
        stream.send_recording_name(title)
        for number, scene in enumerate(scenes):
            tabs.append(_log_scene(stream, f"moment_{number}", scene, MOST_TRACK_BYTES // views))
        stream.send_blueprint(blueprint.Blueprint(blueprint.Tabs(*tabs), auto_views=False))
        stream.flush()
        stream.disconnect()


def _log_scene(stream: rerun.RecordingStream, moment: str, scene: Scene, most_bytes: int) -> blueprint.Container:
    stream.log(f"{moment}/instruction", rerun.TextDocument(scene.instruction), static=True)
    so_far = rerun.VisibleTimeRange(
        TIMELINE,
        start=rerun.TimeRangeBoundary.infinite(),
        end=rerun.TimeRangeBoundary.cursor_relative(seconds=0),
    )
    panels = []
    for view in scene.views:
        place = f"{moment}/{view.name}"
        _log_view(stream, place, view, scene.dt, most_bytes)
        seen_in_all = [f"{place}/{what}" for what in ("picture", "still", "truth")]
        for model in view.forecasts or [None]:
            contents = seen_in_all if model is None else [*seen_in_all, f"{place}/{_part(model)}/**"]
            name = view.name if model is None else f"{view.name}: {model}"
            panels.append(blueprint.Spatial2DView(origin=place, contents=contents, name=name, time_ranges=so_far))
    words = blueprint.TextDocumentView(origin=f"{moment}/instruction", name="instruction")
    return blueprint.Vertical(blueprint.Grid(*panels), words, row_shares=[6, 1], name=scene.title or moment)


def _log_view(stream: rerun.RecordingStream, place: str, view: SeenView, dt: float, most_bytes: int) -> None:
    tracks = [t.reshape(-1, *t.shape[-4:]) for t in view.all_tracks]  # [k, T, H, W, 2] each
    rows, columns, still = shown_points(tracks, view.size, most_bytes)
    picture = view.picture
    if picture is None:
        picture = np.zeros((*view.size, 3), np.uint8)  # so that the viewer knows how large it was
    stream.log(f"{place}/picture", rerun.Image(picture).compress(jpeg_quality=90), static=True)
    points = rerun.Points2D(tracks[0][0, 0][still], colors=_STILL, radii=_RADII["still"])
    stream.log(f"{place}/still", points, static=True)
    chosen = [t[:, :, rows, columns] for t in tracks]  # [k, T, P, 2] each
    for frame, colour in enumerate(time_colours(chosen[0].shape[1])):
        stream.set_time(TIMELINE, duration=frame * dt)
        for model, samples in zip(view.forecasts, chosen, strict=False):
            name = f"{place}/{_part(model)}"
            _log_pieces(stream, f"{name}/samples", samples, frame, colour, _RADII["samples"])
            _log_pieces(stream, f"{name}/mean", samples.mean(axis=0, keepdims=True), frame, colour, _RADII["mean"])
        if view.truth is not None:
            _log_pieces(stream, f"{place}/truth", chosen[-1], frame, _TRUTH, _RADII["truth"])


def _log_pieces(
    stream: rerun.RecordingStream, entity: str, tracks: np.ndarray, frame: int, colour, radius: float
) -> None:
    """The part of the lines [k, T, P, 2] that leads to a frame; of the first frame, where they begin."""
    pieces = np.moveaxis(tracks[:, max(frame - 1, 0) : frame + 1], 1, 2).reshape(-1, min(frame, 1) + 1, 2)
    if frame == 0:
        pieces = np.repeat(pieces, 2, axis=1)
    stream.log(entity, rerun.LineStrips2D(pieces, colors=colour, radii=radius))


def _part(name: str) -> str:
    """Of an entity's path, in which a slash would separate two."""
    return rerun.escape_entity_path_part(name)
