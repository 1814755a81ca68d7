"""The LIBERO protocol: how far sampled futures are from the true tracks, at query points that move.

Per window and view, as ATM (arXiv 2401.00025) and WHN section D.4.1 have it: tracks with a variance over time of more
than 10 px^2 are kept, 32 of them drawn, and the dense forecast is read at those. docs/evaluation.md has every formula.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.evaluation.forecasters.models import load_point_forecaster
from trajforecast_model.evaluation.forecasters.points import PointForecaster
from trajforecast_model.evaluation.reports.report import summarise, windows_fingerprint
from trajforecast_model.evaluation.reports.tables import as_markdown, as_text
from trajforecast_model.evaluation.scores import WindowScores, score_window
from trajforecast_model.evaluation.windows import (
    PROTOCOL_IMAGE_SIZE,
    QUERY_POINTS,
    MovingWindow,
    check_max_windows,
    check_shown_history,
    moving_windows,
    stable_number,
    with_newest_history,
)
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.outputs import ready_file, ready_folder
from trajforecast_model.tracks.motion import MOVING_VARIANCE

WINDOWS_AT_ONCE = 8


def evaluate(
    checkpoint: str | Path,
    data: Path,
    sample_counts: list[int],
    out: Path,
    *,
    split: str = "val",
    steps: int | None = None,
    seed: int = 0,
    max_windows: int | None = None,
    history: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    table: Path | None = None,
    plots: Path | None = None,
) -> dict:
    """Evaluates a checkpoint on prepared data, prints the table and writes the JSON report.

    Args:
        sample_counts: the values of k; the samples of a smaller k are the first of a larger one's.
        max_windows: this many moving windows a view, drawn at random once and for all; None for every one.
        history: show the model the newest so many past frames; None for all that the data has.
        table: also write the tables to this file, as Markdown.
        plots: also draw the figures into this folder, as PNG.

    Returns:
        The report.

    Raises:
        ValueError: for numbers out of range, data that does not fit the checkpoint, data in which nothing moves, or
            forecasts that are not finite.
    """
    counts = sorted(set(sample_counts))
    if not counts or counts[0] < 1:
        raise ValueError(f"k: got {sample_counts}, expected whole numbers of at least 1")
    check_max_windows(max_windows)
    out = ready_file("out", out)
    table = None if table is None else ready_file("table", table)
    if plots is not None:
        from trajforecast_model.evaluation.reports.plots import draw_plots  # matplotlib, which other runs do not need

        plots = ready_folder("plots", plots)
    dataset = ShardDataset(data, split, history_pictures=False)
    forecaster = load_point_forecaster(checkpoint, device, dtype)
    forecaster.check_fit(dataset.info)
    if steps is not None and forecaster.steps is None:
        raise ValueError(f"steps: got {steps}, but {forecaster.model_id} has no solver; leave --steps out")
    check_shown_history(history, dataset.info, forecaster.takes_history, forecaster.model_id)

    scores = score_windows(dataset, forecaster, counts, steps, seed, max_windows, history)
    if not scores:
        raise ValueError(f"nothing moves in the {split} split of {data}: no window has a point to evaluate")
    report = summarise(scores, dataset.info.views, counts)
    solver_steps = forecaster.steps if steps is None else steps
    shown = (dataset.info.history_frames if history is None else history) if forecaster.takes_history else None
    report["convention"] = _convention(dataset.info, split, counts, solver_steps, seed, max_windows, dtype, shown)
    report["windows"] = windows_fingerprint(scores)
    report["model"] = forecaster.model_id
    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
    print(as_text(report))
    print(f"wrote {out}")
    if table is not None:
        write_atomically(table, as_markdown(report).encode())
        print(f"wrote {table}")
    if plots is not None:
        for path in draw_plots(report, Path(plots)):
            print(f"wrote {path}")
    return report


def score_windows(
    dataset: ShardDataset,
    forecaster: PointForecaster,
    counts: list[int],
    steps: int | None,
    seed: int,
    max_windows: int | None,
    history: int | None,
) -> list[WindowScores]:
    """Of the windows in which something moves, in the order of the data; see `evaluate`."""
    expected = len(dataset) if max_windows is None else min(len(dataset), max_windows * len(dataset.info.views))
    scores = []
    with tqdm(total=expected, unit=" windows", desc="evaluate") as progress:

        def skipped() -> None:
            if max_windows is None:
                progress.total -= 1

        for batch in _batches(moving_windows(dataset, max_windows, skipped)):
            # One seed a window: the noise does not depend on what else is evaluated.
            seeds = [stable_number(one.window, seed) for one in batch]
            shown = [replace(one, window=with_newest_history(one.window, history)) for one in batch]
            forecasts = forecaster.forecast(shown, counts[-1], steps, seeds)
            scores += [score_window(one, forecast, counts) for one, forecast in zip(batch, forecasts, strict=True)]
            progress.update(len(batch))
    return scores


def _batches(windows: Iterable[MovingWindow]) -> Iterator[list[MovingWindow]]:
    batch = []
    for window in windows:
        batch.append(window)
        if len(batch) == WINDOWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _convention(
    info: DatasetInfo,
    split: str,
    counts: list[int],
    steps: int | None,
    seed: int,
    max_windows: int | None,
    dtype: str,
    history: int | None,
) -> dict:
    return {
        "unit": f"squared pixels of a {PROTOCOL_IMAGE_SIZE[0]} px image; ade, fde and energy_score in pixels",
        "squared_error": "summed over x and y; averaged_over_xy has half of it",
        "min": "the best sample of each window; min_per_track takes the best sample of each track",
        "time": f"averaged over all {info.num_frames} frames, the present one included",
        "filter": f"unbiased variance over time, summed over x and y, above {MOVING_VARIANCE} px^2",
        "query_points": f"{QUERY_POINTS} of the tracks that pass the filter, all where fewer do",
        "window_end": f"{info.window_end} (as ATM does)",
        "window_stride": info.stride,
        "dt": info.dt,
        "labeler": info.labeler,
        "split": split,
        "k": counts,
        "solver_steps": steps,
        "history_frames": history,
        "extrapolations": f"of {info.history_frames} past frames" if info.history_frames else None,
        "dtype": dtype,
        "seed": seed,
        "max_windows": max_windows,
        "intervals": "percentiles of the averages over demos drawn again, windows of one demo together",
        "calibration": "frames after the present one, every track counting the same, errors in pixels",
        "visibility": "frames after the present one; the average of the samples, visible above 1/2; px at 256 px",
    }
