"""What a dry run says and shows of bags, before an hour is spent on labelling them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from trajforecast_model.bags.places import KIND
from trajforecast_model.data.sources.interface import Source
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.tracks.lettering import draw_text, shorten

if TYPE_CHECKING:  # it takes rosbags, which who has no bags may lack
    from trajforecast_model.data.sources.bags.tasks import BagTask

COLUMNS = 8  # pictures of an episode and view
MOST_ROWS = 24
EDGE, LINE, LETTERS = 4, 18, 12  # pixels


def tell_of_bags(sources: Iterable[Source], out: Path) -> list[str]:
    """What is in the bags, for people; writes a picture of their episodes beside `out`."""
    tasks = [source for source in sources if source.kind == KIND and not source.problem]
    if not tasks:
        return []
    file = contact_sheet_file(out)
    rows = [(task, name, view) for task in tasks for name in task.names() for view in task.episodes[name].topics]
    data = cv2.imencode(".png", cv2.cvtColor(_sheet(rows[:MOST_ROWS]), cv2.COLOR_RGB2BGR))[1].tobytes()
    write_atomically(file, data)
    more = f", of the first {MOST_ROWS} of {len(rows)} episodes and views" if len(rows) > MOST_ROWS else ""
    lines = dict.fromkeys(line for task in tasks for line in task.lines)
    return [*lines, f"their pictures: {file}{more}"]


def contact_sheet_file(out: Path) -> Path:
    out = out.absolute()
    return out.with_name(f"{out.name}_contact_sheet.png")


def _sheet(rows: list[tuple[BagTask, str, str]]) -> np.ndarray:
    """uint8 RGB: a line of text and one of pictures for each episode and view."""
    return np.concatenate([_row(*row) for row in rows])


def _row(task: BagTask, name: str, view: str) -> np.ndarray:
    episode = task.episodes[name]
    frames = np.unique(np.linspace(0, episode.num_frames - 1, COLUMNS).round().astype(int)).tolist()
    text = f"{episode.bag.name}, episode {episode.number}, {view}, {episode.num_frames} frames: {episode.words}"
    try:
        shown = task.pictures(name, frames, view)
    except ValueError as error:  # that one picture is broken is told when the demo is read; the others are shown
        shown, text = {}, str(error)
    height, width = task.image_size
    picture = np.full((LINE + height + EDGE, COLUMNS * (width + EDGE), 3), 255, np.uint8)
    draw_text(picture, shorten(text, LETTERS, picture.shape[1]), (2, LINE // 2), LETTERS, (0, 0, 0))
    for column, frame in enumerate(frames):
        left = column * (width + EDGE)
        if frame not in shown:
            continue
        picture[LINE : LINE + height, left : left + width] = shown[frame]
        draw_text(picture, f"{frame / task.fps:.2f} s", (left + 3, LINE + height - 8), LETTERS)
    return picture
