"""TrajLoom's benchmark (arXiv 2603.22606): of results in its official files, or of a checkpoint on prepared data.

FVMD, FVMD-Long, FlowTV, DivCurlE and VEPE as its published commands compute them, over the truly visible points, of one
sample a clip. docs/evaluation.md has every formula.
"""

import json
from pathlib import Path

from tqdm import tqdm

from trajforecast_model.data.shards import INFO_FILE, ShardDataset
from trajforecast_model.evaluation.forecasters.extrapolations import (
    EXTRAPOLATIONS,
    NOTHING_MOVES,
    TITLES,
    extrapolated,
)
from trajforecast_model.evaluation.metrics.smoothness import Spacing
from trajforecast_model.evaluation.reports.trajloom_tables import as_markdown, as_text
from trajforecast_model.evaluation.trajloom.models import WindowModel
from trajforecast_model.evaluation.trajloom.result_folders import OFFICIAL_SPACING, read_results, result_folders
from trajforecast_model.evaluation.trajloom.scores import BothScores
from trajforecast_model.evaluation.windows import (
    check_max_windows,
    check_shown_history,
    visiting_order,
    with_newest_history,
)
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.outputs import ready_file

CLIP_FRAMES, CLIP_STRIDE = 16, 1  # of the paper's FVMD; the official command's text has 24 and 1
FORECAST, ALL = "forecast", "all"  # what results are called: their row, and the only part of their report
_WINDOWS_AT_ONCE = 8


def evaluate_results(
    folder: Path,
    out: Path,
    *,
    clip_frames: int = CLIP_FRAMES,
    clip_stride: int = CLIP_STRIDE,
    spacing: float | None = None,
    table: Path | None = None,
) -> dict:
    """Evaluates forecasts in the files of TrajLoom's official code, prints the tables and writes the JSON report.

    Args:
        folder: of one clip, or of many at any depth.
        clip_frames, clip_stride: of FVMD.
        spacing: px between neighbouring query points; None for what query_xy.npy tells, else 32.
        table: also write the tables to this file, as Markdown.

    Returns:
        The report.

    Raises:
        ValueError: for numbers out of range, or files that are missing, damaged or do not belong together.
    """
    _check_clips(clip_frames, clip_stride)
    if spacing is not None and not spacing > 0:
        raise ValueError(f"spacing: got {spacing}, expected the pixels between neighbouring query points")
    out, table = _ready(out, table)
    folders = result_folders(folder)
    scores: BothScores | None = None
    for result in tqdm(read_results(folders), total=len(folders), desc="evaluate", unit=" clips"):
        if scores is None:
            spacing = spacing or result.spacing or OFFICIAL_SPACING
            scores = BothScores(spacing, clip_frames, clip_stride)
        scores.add(result.truth, result.visible, {FORECAST: result.tracks}, {FORECAST: result.forecast_visible})
    convention = _convention(clip_frames, clip_stride, spacing)
    return _finished(str(folder), {ALL: scores.summary()}, convention, out, table)


def evaluate_checkpoint(
    checkpoint: str | Path,
    data: Path,
    out: Path,
    *,
    split: str = "val",
    steps: int | None = None,
    seed: int = 0,
    max_windows: int | None = None,
    history: int | None = None,
    clip_frames: int = CLIP_FRAMES,
    clip_stride: int = CLIP_STRIDE,
    device: str = "cpu",
    dtype: str = "float32",
    table: Path | None = None,
) -> dict:
    """Evaluates one sample of every whole window of prepared data, beside forecasts without a network.

    Args:
        checkpoint: of a model that forecasts a whole grid, or the name of an extrapolation.
        max_windows: this many windows a view, drawn at random once and for all; None for every one.
        history: show the model the newest so many past frames; None for all that the data has.
        clip_frames, clip_stride, table: as `evaluate_results`.

    Returns:
        The report.

    Raises:
        ValueError: for numbers out of range, data without a whole window or that does not fit the checkpoint, or
            forecasts that are not finite.
    """
    _check_clips(clip_frames, clip_stride)
    check_max_windows(max_windows)
    out, table = _ready(out, table)
    dataset = ShardDataset(data, split)
    info = dataset.info
    model = WindowModel(checkpoint, info, device, dtype, steps, seed)
    check_shown_history(history, info, model.takes_history, model.name)
    spacing = (info.image_size[1] / info.grid[1], info.image_size[0] / info.grid[0])
    scores = {view: BothScores(spacing, clip_frames, clip_stride) for view in info.views}
    chosen = _whole_windows(dataset, max_windows)
    if not chosen:
        raise ValueError(
            f"the {split} split of {data} has no window of {info.num_frames} real frames: its demos are too short"
        )
    baselines = [NOTHING_MOVES, *(EXTRAPOLATIONS if info.history_frames else ())]
    with tqdm(total=len(chosen), desc="evaluate", unit=" windows") as progress:
        for start in range(0, len(chosen), _WINDOWS_AT_ONCE):
            windows = [dataset[index] for index in chosen[start : start + _WINDOWS_AT_ONCE]]
            made = model.forecasts([with_newest_history(window, history) for window in windows])
            for window, (forecasts, visible) in zip(windows, made, strict=True):
                others = {TITLES[name]: extrapolated(window, name) for name in baselines}
                scores[window.view].add(window.tracks, window.visibility, forecasts | others, visible)
            progress.update(len(windows))
    convention = _convention(clip_frames, clip_stride, spacing) | {
        "frames": f"all {info.num_frames} of a window, the present one included, whose error is zero",
        "windows": "whole ones alone",
        "split": split,
        "solver_steps": model.steps,
        "history_frames": history if history is not None else info.history_frames,
        "max_windows": max_windows,
        "dtype": dtype,
        "seed": seed,
        "dt": info.dt,
        "labeler": info.labeler,
    }
    views = {view: part.summary() for view, part in scores.items() if part.num_clips}
    return _finished(model.name, views, convention, out, table)


def is_prepared(folder: Path) -> bool:
    """Whether that is prepared data, and not results."""
    return (Path(folder) / INFO_FILE).is_file()


def _whole_windows(dataset: ShardDataset, max_windows: int | None) -> list[int]:
    """Of every view, all or so many: a window that goes on beyond its demo's end stands still there."""
    taken = dict.fromkeys(dataset.info.views, 0)
    chosen = []
    for index in visiting_order(dataset, shuffled=max_windows is not None):
        view = str(dataset.rows.view[index])
        whole = dataset.rows.num_real_frames[index] == dataset.info.num_frames
        if whole and (max_windows is None or taken[view] < max_windows):
            taken[view] += 1
            chosen.append(index)
    return sorted(chosen)


def _ready(out: Path, table: Path | None) -> tuple[Path, Path | None]:
    return ready_file("out", out), None if table is None else ready_file("table", table)


def _convention(clip_frames: int, clip_stride: int, spacing: Spacing) -> dict:
    return {
        "protocol": "trajloom",
        "unit": "pixels of the clips as they are; fvmd combined is the paper's FVMD",
        "clip_frames": clip_frames,
        "clip_stride": clip_stride,
        "spacing": spacing,
        "visible": "points that are truly visible in the frames that a figure needs",
        "flow_tv, div_curl_energy": "mean over clips, those left out in which no pair is visible",
        "vepe": "pooled over clips",
    }


def _finished(model: str, views: dict[str, dict], convention: dict, out: Path, table: Path | None) -> dict:
    report = {"model": model, "views": views, "convention": convention}
    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
    print(as_text(report))
    print(f"wrote {out}")
    if table is not None:
        write_atomically(table, as_markdown(report).encode())
        print(f"wrote {table}")
    return report


def _check_clips(clip_frames: int, clip_stride: int) -> None:
    if clip_frames < 4:
        raise ValueError(f"clip-frames: got {clip_frames}, expected at least 4")
    if clip_stride < 1:
        raise ValueError(f"clip-stride: got {clip_stride}, expected at least 1")
