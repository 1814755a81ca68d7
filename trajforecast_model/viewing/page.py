"""The page itself: pictures as JPEG, tracks as 16-bit numbers, both base64, and the program that draws them, in one file."""

import base64
import html
import json
import re
from importlib import resources

import cv2
import numpy as np

from trajforecast_model.tracks.overlay import time_colours
from trajforecast_model.viewing.scenes import Scene, SeenView
from trajforecast_model.viewing.shown_points import MOST_TRACK_BYTES, shown_points

JPEG_QUALITY = 85
_LONGEST_SIDE = 960  # of a picture; tracks keep their precision


def page_of_scenes(title: str, scenes: list[Scene], blind: bool = False) -> bytes:
    """An HTML page of moments to choose from, the forecasts of several models side by side.

    Only points that move are drawn as lines. Where there are more of them than a page of a few megabytes holds, they are
    thinned out evenly.

    Args:
        blind: ask which of two models' forecasts is better, without their names, and rate them at the end.
    """
    views = sum(len(scene.views) for scene in scenes)
    models = list(dict.fromkeys(model for scene in scenes for view in scene.views for model in view.forecasts))
    data = {
        "scenes": [_scene(scene, MOST_TRACK_BYTES // views) for scene in scenes],
        "models": models,
        "blind": blind,
        "colours": time_colours(max(view.all_tracks[0].shape[-4] for s in scenes for view in s.views)).tolist(),
    }
    scripts = ["tracks.js", "player.js", *(["study.js"] if blind else [])]
    body = _read("player.html")
    if blind:
        body = body.replace("<!-- study -->", _read("study.html"))
    return _page(title, body, data, scripts)


def page_of_tables(title: str, tables: list[tuple[str, list[str], list[list[str]]]]) -> bytes:
    """An HTML page of tables: the title of each, its headings, its rows."""
    parts = []
    for heading, columns, rows in tables:
        cells = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
        lines = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
        parts.append(f"<h2>{html.escape(heading)}</h2>\n<table>\n<tr>{cells}</tr>\n{lines}</table>")
    return _page(title, "\n".join(parts), None, [])


def _page(title: str, body: str, data: dict | None, scripts: list[str]) -> bytes:
    # Within a script element only "<" could end it.
    inside = "" if data is None else json.dumps(data).replace("<", "\\u003c")
    filled = {
        "title": html.escape(title),
        "style": _read("page.css"),
        "body": body,
        "data": f'<script type="application/json" id="data">{inside}</script>' if inside else "",
        "scripts": "\n".join(f"<script>\n{_read(script)}</script>" for script in scripts),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: filled[mark[1]], _read("page.html")).encode()


def _scene(scene: Scene, most_bytes: int) -> dict:
    return {
        "title": scene.title,
        "instruction": scene.instruction,
        "dt": scene.dt,
        "views": [_view(view, most_bytes) for view in scene.views],
    }


def _view(view: SeenView, most_bytes: int) -> dict:
    height, width = view.size
    tracks = [t.reshape(-1, *t.shape[-4:]) for t in view.all_tracks]  # [k, T, H, W, 2] each
    rows, columns, still = shown_points(tracks, view.size, most_bytes)
    first = tracks[0][0, 0]
    chosen = [t[:, :, rows, columns] for t in tracks]  # [k, T, P, 2] each
    offsets = [np.moveaxis(t - t[:, :1], 1, 2) for t in chosen]  # [k, P, T, 2] each
    most = max((float(np.abs(o).max()) for o in offsets if o.size), default=0.0)
    scale = 32767 / max(most, 1e-3)  # of a pixel in 16-bit numbers
    return {
        "name": view.name,
        "width": width,
        "height": height,
        "picture": None if view.picture is None else _picture(view.picture),
        "frames": tracks[0].shape[1],
        "scale": scale,
        "still": _base64(first[still].astype("<f4")),  # [N, 2]
        "starts": _base64(first[rows, columns].astype("<f4")),  # [P, 2]
        "forecasts": {
            model: {"samples": len(o), "offsets": _base64(np.rint(o * scale).astype("<i2"))}
            for model, o in zip(view.forecasts, offsets, strict=False)
        },
        "truth": None if view.truth is None else _base64(np.rint(offsets[-1] * scale).astype("<i2")),
    }


def _picture(rgb: np.ndarray) -> str:
    shrink = _LONGEST_SIDE / max(rgb.shape[:2])
    if shrink < 1:
        rgb = cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{_base64(jpeg)}"


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _read(name: str) -> str:
    return (resources.files("trajforecast_model.viewing") / "web" / name).read_text(encoding="utf-8")
