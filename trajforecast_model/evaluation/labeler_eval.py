"""`trajforecast labeler-eval`: point trackers against the exact labels of simulated demos.

Figures of TAP-Vid (arXiv 2211.03726, section 3; queries in the first frame), averaged over windows, beside the tracker
that says that nothing moves.
"""

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.data.labelers.exact import ExactLabeler
from trajforecast_model.data.labelers.trackers.interface import PointTracker, TrackerOptions
from trajforecast_model.data.labelers.trackers.registry import POINT_TRACKERS, make_point_tracker
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import Source
from trajforecast_model.evaluation.labeler_scores import SUBSETS, score_labels
from trajforecast_model.evaluation.reports.tables import Table, table_as_markdown, table_as_text
from trajforecast_model.evaluation.simulated_clips import CLIPS, Clip, clips_of_demo
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.outputs import ready_file

NOTHING_MOVES = "nothing_moves"
_COLUMNS = {
    **{f"within_{threshold}": f"<{threshold} px" for threshold in (1, 2, 4, 8, 16)},
    "within_average": "average",
    "average_jaccard": "AJ",
    "occlusion_accuracy": "OA",
    "squared_error": "px^2",
}

# tracker -> view -> subset -> one entry a window
Figures = dict[str, dict[str, dict[str, list[dict[str, float]]]]]


def evaluate_labelers(
    demos: list[Path],
    labelers: list[str],
    out: Path,
    *,
    per_task: int | None = None,
    windows: int = 4,
    checkouts: dict[str, Path] | None = None,
    weights: dict[str, Path] | None = None,
    device: str = "cpu",
    table: Path | None = None,
) -> int:
    """Measures the labelers that are available, lists the others with the reason, and writes the report.

    Args:
        demos: files in LIBERO's layout with states, or folders of them. Others are listed as broken.
        labelers: names of point trackers.
        out: JSON.
        per_task: demos of each task, its first ones; all if None.
        windows: of each demo and view.
        checkouts, weights: by labeler, see `TrackerOptions`.
        table: also the tables, as Markdown.

    Returns:
        The exit code: 0, or 1 if some demos were broken. Those are listed on stderr and the others used.

    Raises:
        ValueError: for an unknown labeler, if none is available, or if no demo can be used.
    """
    for option, value in (("--per-task", per_task), ("--windows", windows)):
        if value is not None and value < 1:
            raise ValueError(f"{option} {value}: expected at least 1")
    out = ready_file("out", out)
    table = None if table is None else ready_file("table", table)
    checkouts, weights = checkouts or {}, weights or {}
    _check_names([*labelers, *checkouts, *weights])
    sources = find_sources(demos)
    trackers, unavailable = _make_trackers(labelers, checkouts, weights, device)

    figures: Figures = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    seconds: dict[str, list[float]] = defaultdict(list)
    names, broken = _demos_of(sources, per_task)
    used = 0
    exact = ExactLabeler()
    for source, name in tqdm(names, unit="demo", desc="labeler-eval"):
        try:
            clips = list(
                clips_of_demo(source.read(name), exact, windows)
            )  # before any is measured: a later one may fail
            for clip in clips:
                _measure(clip, trackers, figures, seconds)
        except ValueError as error:
            broken.append(str(error) if str(source.place) in str(error) else f"{source.place}: {name}: {error}")
            continue
        used += 1
    if not used:
        raise ValueError("no demo could be used: " + "; ".join(broken))

    report = {
        "demos": used,
        "labelers": {labeler: _averages(by_view) for labeler, by_view in figures.items()},
        "seconds_per_window": {labeler: float(np.median(times)) for labeler, times in seconds.items()},
        "unavailable": unavailable,
        "convention": _convention(per_task, windows),
    }
    tables = _tables(report)
    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
    print("\n\n".join(table_as_text(one) for one in tables))
    for labeler, reason in unavailable.items():
        print(f"not available: {reason if reason.startswith(labeler) else f'{labeler}: {reason}'}")
    print(f"wrote {out}")
    if table is not None:
        write_atomically(table, ("\n\n".join(table_as_markdown(one) for one in tables) + "\n").encode())
        print(f"wrote {table}")
    for problem in broken:
        print(f"not used: {problem}", file=sys.stderr)
    return 1 if broken else 0


def _check_names(names: list[str]) -> None:
    for name in names:
        if name not in POINT_TRACKERS:
            known = ", ".join(POINT_TRACKERS)
            raise ValueError(f"unknown labeler {name!r}; those measured against exact: {known}")


def _make_trackers(
    labelers: list[str], checkouts: dict[str, Path], weights: dict[str, Path], device: str
) -> tuple[dict[str, PointTracker], dict[str, str]]:
    """The trackers that are there, and of the others why they are not."""
    trackers, unavailable = {}, {}
    for name in labelers:
        try:
            trackers[name] = make_point_tracker(name, TrackerOptions(checkouts.get(name), weights.get(name), device))
        except ValueError as error:
            unavailable[name] = str(error)
    if not trackers:
        raise ValueError("no labeler is available: " + "; ".join(unavailable.values()))
    return trackers, unavailable


def _demos_of(sources: list[Source], per_task: int | None) -> tuple[list[tuple[Source, str]], list[str]]:
    """Demos as (source, name), and what is wrong with the sources that cannot be read."""
    demos, broken = [], []
    for source in sources:
        try:
            demos += [(source, name) for name in source.names()[:per_task]]
        except ValueError as error:
            broken.append(str(error))
    return demos, broken


def _measure(clip: Clip, trackers: dict[str, PointTracker], figures: Figures, seconds: dict[str, list[float]]) -> None:
    labels = {NOTHING_MOVES: (np.broadcast_to(clip.tracks[:1], clip.tracks.shape), np.ones_like(clip.visible))}
    for name, tracker in trackers.items():
        started = time.perf_counter()
        labels[name] = tracker.track(clip.video, clip.tracks[0])
        seconds[name].append(time.perf_counter() - started)
    for name, (tracks, visible) in labels.items():
        for subset, values in score_labels(tracks, visible, clip).items():
            figures[name][clip.view][subset].append(values)


def _averages(by_view: dict[str, dict[str, list[dict[str, float]]]]) -> dict:
    """Every window counts the same, however many points it has."""
    return {
        view: {
            subset: {"n_windows": len(rows), **{name: float(np.mean([row[name] for row in rows])) for name in _COLUMNS}}
            for subset, rows in by_subset.items()
        }
        for view, by_subset in by_view.items()
    }


def _tables(report: dict) -> list[Table]:
    tables = []
    for view, by_subset in report["labelers"][NOTHING_MOVES].items():
        for subset in SUBSETS:
            if subset not in by_subset:
                continue
            title = f"{view}, {subset} points ({by_subset[subset]['n_windows']} windows)"
            rows = [
                [labeler.replace("_", " "), *(f"{by_view[view][subset][name]:.3g}" for name in _COLUMNS)]
                for labeler, by_view in report["labelers"].items()
            ]
            tables.append(Table(title, list(_COLUMNS.values()), rows))
    return tables


def _convention(per_task: int | None, windows: int) -> dict:
    return {
        "within": "share of truly visible points nearer than so many pixels of a 256 px image, after the first frame",
        "average_jaccard": "TAP-Vid's, over the same five thresholds; occlusion_accuracy likewise",
        "squared_error": "px^2 of a 128 px image, x and y summed, all frames, points visible or not",
        "moving": "unbiased variance over time of the exact track, summed over x and y, above 10 px^2 at 128 px",
        "averages": "of windows; each counts the same",
        "demos": "all" if per_task is None else f"the first {per_task} of each task",
        "windows": f"{windows} of each demo and view, evenly spread, {CLIPS.num_frames} frames, "
        f"{CLIPS.grid[0]} x {CLIPS.grid[1]} points, images of {CLIPS.image_size[0]} px",
    }
