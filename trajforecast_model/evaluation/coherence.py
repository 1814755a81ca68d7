"""Do forecasts of consecutive moments belong together: does sample i stay the same future while it stays true?

Pairs of moments, a window's stride apart, are forecast with the same noise, as forecast_node does, and the later one with
other noise beside. docs/evaluation.md has the formula, docs/history.md what was measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.data.shards import ShardDataset, Window
from trajforecast_model.evaluation.forecasters.models import load_dense_forecaster
from trajforecast_model.evaluation.forecasters.points import check_dense_fit, predict_windows
from trajforecast_model.evaluation.metrics.coherence import temporal_coherence
from trajforecast_model.evaluation.metrics.errors import mean_error, mean_t, min_error
from trajforecast_model.evaluation.reports.tables import Table, as_number
from trajforecast_model.evaluation.reports.written import write_report
from trajforecast_model.evaluation.windows import check_max_windows, stable_number, visiting_order
from trajforecast_model.files.outputs import ready_file
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import PROTOCOL_IMAGE_SIZE, moving_points

ROWS = {"truth": "what really happened", "same_noise": "the same noise", "fresh_noise": "other noise"}
COLUMNS = {"coherence": "coherence", "mean_t": "MeanT", "min": "Min", "variance": "variance"}


@dataclass(frozen=True)
class Pair:
    """Two moments of one camera, in both of which something moves."""

    earlier: Window
    later: Window


def evaluate_coherence(
    checkpoint: str | Path,
    data: Path,
    k: int,
    out: Path,
    *,
    split: str = "val",
    steps: int | None = None,
    seed: int = 0,
    max_pairs: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    table: Path | None = None,
) -> None:
    """Forecasts pairs of consecutive moments and compares sample i of the one with sample i of the other; prints a table.

    The JSON report is {"views": {view: {"n_pairs": .., "truth": {"coherence": ..}, "same_noise": {"coherence", "mean_t",
    "min", "variance"}, "fresh_noise": {..}}}, "convention": {..}}, errors and variance being those of the later forecast.

    Args:
        k: samples.
        max_pairs: this many pairs a view, drawn at random once and for all; None for every one.
        table: also write the table to this file, as Markdown.

    Raises:
        ValueError: for numbers out of range, data that does not fit the checkpoint, whose windows do not overlap, or in
            which nothing moves.
    """
    if k < 1:
        raise ValueError(f"k: got {k}, expected at least 1")
    check_max_windows(max_pairs)
    out = ready_file("out", out)
    table = None if table is None else ready_file("table", table)
    dataset = ShardDataset(data, split, history_pictures=False)
    info = dataset.info
    if not info.stride <= info.num_frames - 2:
        raise ValueError(
            f"the windows of {data} begin {info.stride} frames apart and have {info.num_frames}, so that two forecasts tell "
            f"of no common time; prepare with a --stride of at most {info.num_frames - 2}"
        )
    forecaster = load_dense_forecaster(checkpoint, device, dtype)
    check_dense_fit(forecaster.config, info)
    measured: dict[str, list[dict]] = {view: [] for view in info.views}
    with tqdm(desc="coherence", unit=" pairs") as progress:
        for pair in pairs(dataset, max_pairs):
            values = _measure(forecaster, pair, info.stride, k, steps, seed)
            if values is not None:
                measured[pair.later.view].append(values)
            progress.update()
    if not any(measured.values()):
        raise ValueError(f"nothing moves in two consecutive windows of the {split} split of {data}")
    report = {
        "model": forecaster.model_id,
        "views": {view: _averages(values) for view, values in measured.items() if values},
        "convention": {
            "unit": f"squared pixels of a {PROTOCOL_IMAGE_SIZE[0]} px image, summed over x and y",
            "points": "coherence: those that truly move from the earlier moment on; errors: from the later one on",
            "seconds_between": info.stride * info.dt,
            "k": k,
            "solver_steps": forecaster.config.steps if steps is None else steps,
            "split": split,
            "seed": seed,
            "max_pairs": max_pairs,
            "dtype": dtype,
        },
    }
    write_report(report, _table(report), out, table)


def pairs(dataset: ShardDataset, max_pairs: int | None) -> Iterator[Pair]:
    """Windows and the next ones of the same demo and view; `max_pairs` a view, drawn at random once and for all."""
    rows, stride = dataset.rows, dataset.info.stride
    places = {key: i for i, key in enumerate(zip(rows.task, rows.demo, rows.view, rows.start, strict=True))}
    taken = dict.fromkeys(dataset.info.views, 0)
    for index in visiting_order(dataset, shuffled=max_pairs is not None):
        view = str(rows.view[index])
        following = places.get((rows.task[index], rows.demo[index], view, rows.start[index] + stride))
        if following is None or taken[view] == max_pairs:
            continue
        pair = Pair(dataset[index], dataset[following])
        if _moving(pair.earlier).size and _moving(pair.later).size:
            taken[view] += 1
            yield pair


def _moving(window: Window) -> np.ndarray:
    return np.flatnonzero(moving_points(_at_protocol_size(window.tracks, window)))


def _at_protocol_size(tracks: np.ndarray, window: Window) -> np.ndarray:
    return rescale(tracks, window.image.shape[:2], PROTOCOL_IMAGE_SIZE)


def _measure(
    forecaster: Forecaster, pair: Pair, stride: int, k: int, steps: int | None, seed: int
) -> dict[str, dict[str, float]] | None:
    """Each row's values; None where all that moves has left the picture."""
    seeds = [stable_number(pair.earlier, seed), stable_number(pair.later, seed)]
    windows = [pair.earlier, pair.later, pair.later]
    forecasts, _ = predict_windows(forecaster, windows, k, steps, [seeds[0], *seeds])
    earlier, same, fresh = _at_protocol_size(forecasts, pair.later)
    moving = _moving(pair.earlier)

    def between(one: np.ndarray, other: np.ndarray) -> float | None:
        return temporal_coherence(one, other, moving, stride, PROTOCOL_IMAGE_SIZE)

    truth = _at_protocol_size(pair.later.tracks, pair.later)
    rows = {"truth": {"coherence": between(_at_protocol_size(pair.earlier.tracks, pair.earlier), truth)}}
    later_truth = truth.reshape(len(truth), -1, 2)[:, _moving(pair.later)]
    for name, later in (("same_noise", same), ("fresh_noise", fresh)):
        apart = [between(one, other) for one, other in zip(earlier, later, strict=True)]
        samples = later.reshape(*later.shape[:2], -1, 2)[:, :, _moving(pair.later)]
        average = mean_t(samples, later_truth)
        rows[name] = {
            "coherence": None if None in apart else float(np.mean(apart)),
            "mean_t": average,
            "min": min_error(samples, later_truth),
            "variance": mean_error(samples, later_truth) - average,
        }
    return None if any(row["coherence"] is None for row in rows.values()) else rows


def _averages(values: list[dict]) -> dict:
    return {"n_pairs": len(values)} | {
        row: {column: float(np.mean([value[row][column] for value in values])) for column in values[0][row]}
        for row in ROWS
    }


def _table(report: dict) -> Table:
    views = report["views"]
    numbers = ", ".join(f"{row['n_pairs']} pairs of {view}" for view, row in views.items())
    convention = report["convention"]
    title = f"px^2, {convention['seconds_between']:g} s between two moments, k = {convention['k']}; {numbers}"
    header = [f"{view} {heading}" for view in views for heading in COLUMNS.values()]
    rows = [
        [heading, *(as_number(of[row].get(column)) for of in views.values() for column in COLUMNS)]
        for row, heading in ROWS.items()
    ]
    return Table(title, header, rows)
