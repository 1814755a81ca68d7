"""The LIBERO protocol: how far sampled futures are from the true tracks, at query points that move.

Per window and view, as ATM (arXiv 2401.00025) and WHN section D.4.1 have it: tracks with a variance over time of more
than 10 px^2 are kept, 32 of them drawn, and the dense forecast is read at those. docs/evaluation.md has every formula.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.checkpoint import write_atomically
from trajforecast_model.data.shards import DatasetInfo, ShardDataset, Window
from trajforecast_model.evaluation.metrics import ade, energy_score, fde, squared_error
from trajforecast_model.evaluation.tables import comparison_table
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import MOVING_VARIANCE, moving_points

PROTOCOL_IMAGE_SIZE = (128, 128)  # the thresholds and the figures of the papers are in pixels of such images
QUERY_POINTS = 32
WINDOWS_AT_ONCE = 8


@dataclass(frozen=True)
class _Sample:
    """A window whose scene moves."""

    index: int  # in the dataset
    window: Window
    truth: np.ndarray  # [T, H, W, 2], pixels at PROTOCOL_IMAGE_SIZE
    moving: np.ndarray  # int [M], points of the flattened grid
    drawn: np.ndarray  # int [up to 32], some of them


@dataclass(frozen=True)
class _Errors:
    """Errors over some points of one window."""

    nothing_moves: float
    by_metric: dict[str, dict[str, float]]  # metric -> k -> value


@dataclass(frozen=True)
class _Scores:
    index: int  # in the dataset
    task: str
    view: str
    drawn_points: _Errors
    all_moving_points: _Errors


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
    device: str = "cpu",
    dtype: str = "float32",
) -> dict:
    """Evaluates a checkpoint on prepared data, prints the table and writes the JSON report.

    Args:
        sample_counts: the values of k; the samples of a smaller k are the first of a larger one's.
        max_windows: this many moving windows a view, drawn at random once and for all; None for every one.

    Returns:
        The report.

    Raises:
        ValueError: for numbers out of range, data that does not fit the checkpoint, or data in which nothing moves.
    """
    counts = sorted(set(sample_counts))
    if not counts or counts[0] < 1:
        raise ValueError(f"k: got {sample_counts}, expected whole numbers of at least 1")
    if max_windows is not None and max_windows < 1:
        raise ValueError(f"max-windows: got {max_windows}, expected at least 1")
    out = Path(out)
    if out.is_dir():
        raise ValueError(f"out: {out} is a folder, expected the name of a JSON file")
    out.parent.mkdir(parents=True, exist_ok=True)  # a place that cannot be written shows now and not after an hour
    dataset = ShardDataset(data, split)
    forecaster = Forecaster.from_pretrained(checkpoint, device=device, dtype=dtype)
    _check_fit(dataset.info, forecaster)

    expected = len(dataset) if max_windows is None else min(len(dataset), max_windows * len(dataset.info.views))
    scores = []
    with tqdm(total=expected, unit=" windows", desc="evaluate") as progress:
        for batch in _batches(_moving_samples(dataset, max_windows, progress)):
            scores += _score_batch(batch, forecaster, dataset.info, counts, steps, seed)
            progress.update(len(batch))
    if not scores:
        raise ValueError(f"nothing moves in the {split} split of {data}: no window has a point to evaluate")
    # Summed in a fixed order, so that the report does not depend on the order of evaluation.
    scores.sort(key=lambda score: score.index)
    report = _report(scores, dataset.info)
    report["convention"] = _convention(dataset.info, split, counts, steps or forecaster.config.steps, seed, max_windows)
    report["model"] = forecaster.model_id
    write_atomically(out, (json.dumps(report, indent=2) + "\n").encode())
    print(comparison_table(report))
    print(f"wrote {out}")
    return report


def draw_query_points(moving: np.ndarray, window: Window) -> np.ndarray:
    """32 of the moving points (all of them where there are fewer), the same ones for this window in every run.

    Args:
        moving: int [M] points.

    Returns:
        int [up to 32], ascending.
    """
    if len(moving) <= QUERY_POINTS:
        return moving
    generator = np.random.default_rng(_stable_number(window))
    return np.sort(generator.choice(moving, QUERY_POINTS, replace=False))


def window_errors(samples: np.ndarray, truth: np.ndarray, counts: list[int]) -> dict[str, dict[str, float]]:
    """All errors of one window, by metric and k: px^2 summed over x and y, averaged over time and points.

    Args:
        samples: [k, T, P, 2], k at least the largest of `counts`; the first n are those of a smaller k.
        truth: [T, P, 2]
    """
    errors = squared_error(samples, truth)  # [k, P]
    values: dict[str, dict[str, float]] = {"mean_t": {}, "mean": {}, "min": {}, "min_per_track": {}}
    for k in counts:
        average = samples[:k].mean(axis=0, keepdims=True, dtype=np.float64)
        values["mean_t"][str(k)] = float(squared_error(average, truth).mean())
        values["mean"][str(k)] = float(errors[:k].mean())
        values["min"][str(k)] = float(errors[:k].mean(axis=1).min())
        values["min_per_track"][str(k)] = float(errors[:k].min(axis=0).mean())
    return values


def nothing_moves_error(truth: np.ndarray) -> float:
    """The error of the forecast that every point stays where it is: px^2 summed over x and y. truth: [T, P, 2]."""
    return float(squared_error(np.broadcast_to(truth[0], (1, *truth.shape)), truth).mean())


def _check_fit(info: DatasetInfo, forecaster: Forecaster) -> None:
    for name in ("grid", "num_frames", "dt"):
        ours, theirs = getattr(info, name), getattr(forecaster.config, name)
        if ours != theirs:
            raise ValueError(
                f"the data has {name} {ours}, the checkpoint {theirs}; prepare the data with the checkpoint's {name}"
            )
    unknown = set(info.views) - set(forecaster.config.views)
    if unknown:
        raise ValueError(f"the data has views {sorted(unknown)} that the checkpoint was not trained on")


def _moving_samples(dataset: ShardDataset, max_windows: int | None, progress: tqdm) -> Iterator[_Sample]:
    """The windows of the protocol. What is left out is taken off the progress bar's total."""
    accepted = dict.fromkeys(dataset.info.views, 0)
    for index in _visiting_order(dataset, shuffled=max_windows is not None):
        view = str(dataset.rows.view[index])
        if max_windows is not None and accepted[view] == max_windows:
            continue
        window = dataset[index]
        truth = rescale(window.tracks, dataset.info.image_size, PROTOCOL_IMAGE_SIZE)
        moving = np.flatnonzero(moving_points(truth))
        if not len(moving):
            if max_windows is None:
                progress.total -= 1
            continue
        accepted[view] += 1
        yield _Sample(index, window, truth, moving, draw_query_points(moving, window))


def _visiting_order(dataset: ShardDataset, shuffled: bool) -> list[int]:
    """All windows; shuffled by their names, so that a subset is random and yet the same on every machine."""
    if not shuffled:
        return list(range(len(dataset)))
    rows = dataset.rows
    return sorted(
        range(len(dataset)),
        key=lambda i: _stable_hash(rows.task[i], rows.demo[i], rows.start[i], rows.view[i], "order"),
    )


def _batches(samples: Iterator[_Sample]) -> Iterator[list[_Sample]]:
    batch = []
    for sample in samples:
        batch.append(sample)
        if len(batch) == WINDOWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _score_batch(
    batch: list[_Sample],
    forecaster: Forecaster,
    info: DatasetInfo,
    counts: list[int],
    steps: int | None,
    seed: int,
) -> list[_Scores]:
    forecasts = forecaster.predict_batch(
        np.stack([sample.window.image for sample in batch]),
        [sample.window.instruction for sample in batch],
        counts[-1],
        steps,
        # One seed a window: the noise does not depend on what else is evaluated.
        [_stable_number(sample.window, seed) for sample in batch],
    )  # [B, k, T, H, W, 2]
    forecasts = rescale(forecasts, info.image_size, PROTOCOL_IMAGE_SIZE)
    return [_score_window(sample, tracks, counts) for sample, tracks in zip(batch, forecasts, strict=True)]


def _score_window(sample: _Sample, tracks: np.ndarray, counts: list[int]) -> _Scores:
    flat = tracks.reshape(*tracks.shape[:2], -1, 2)  # [k, T, H * W, 2]
    flat_truth = sample.truth.reshape(len(sample.truth), -1, 2)
    drawn, drawn_truth = flat[:, :, sample.drawn], flat_truth[:, sample.drawn]
    moving, moving_truth = flat[:, :, sample.moving], flat_truth[:, sample.moving]
    metrics = window_errors(drawn, drawn_truth, counts) | _distances(drawn, drawn_truth, counts)
    return _Scores(
        index=sample.index,
        task=sample.window.task,
        view=sample.window.view,
        drawn_points=_Errors(nothing_moves_error(drawn_truth), metrics),
        all_moving_points=_Errors(nothing_moves_error(moving_truth), window_errors(moving, moving_truth, counts)),
    )


def _distances(samples: np.ndarray, truth: np.ndarray, counts: list[int]) -> dict[str, dict[str, float]]:
    """The errors in px: displacement of the average of the samples, and the energy score."""
    return {
        "ade": {str(k): ade(samples[:k].mean(axis=0), truth) for k in counts},
        "fde": {str(k): fde(samples[:k].mean(axis=0), truth) for k in counts},
        "energy_score": {str(k): energy_score(samples[:k], truth) for k in counts},
    }


def _report(scores: list[_Scores], info: DatasetInfo) -> dict:
    views = [view for view in info.views if any(score.view == view for score in scores)]
    tasks = sorted({score.task for score in scores})
    per_task: dict[str, dict] = {}
    for task in tasks:
        of_task = [score for score in scores if score.task == task]
        present = [view for view in views if any(score.view == view for score in of_task)]
        per_task[task] = {view: _summary([s for s in of_task if s.view == view]) for view in present}
    return {
        "views": {view: _full_summary([score for score in scores if score.view == view]) for view in views},
        "per_task": per_task,
    }


def _full_summary(scores: list[_Scores]) -> dict:
    summary = _summary(scores)
    squared = ("nothing_moves", "mean_t", "mean", "min", "min_per_track")
    summary["averaged_over_xy"] = {name: _halved(summary[name]) for name in squared}
    summary["all_moving_points"] = _averages([score.all_moving_points for score in scores])
    return summary


def _summary(scores: list[_Scores]) -> dict:
    return {"n_windows": len(scores), **_averages([score.drawn_points for score in scores])}


def _averages(windows: list[_Errors]) -> dict:
    """Every window counts the same, however many points it has."""
    averages: dict = {"nothing_moves": float(np.mean([window.nothing_moves for window in windows]))}
    for metric, by_k in windows[0].by_metric.items():
        averages[metric] = {k: float(np.mean([window.by_metric[metric][k] for window in windows])) for k in by_k}
    return averages


def _halved(value: float | dict[str, float]) -> float | dict[str, float]:
    return {k: v / 2 for k, v in value.items()} if isinstance(value, dict) else value / 2


def _convention(
    info: DatasetInfo, split: str, counts: list[int], steps: int, seed: int, max_windows: int | None
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
        "labeler": info.labeler,
        "split": split,
        "k": counts,
        "solver_steps": steps,
        "seed": seed,
        "max_windows": max_windows,
    }


def _stable_number(window: Window, *more) -> int:
    """A number below 2^63 that depends on nothing but the window's name and `more`."""
    digest = _stable_hash(window.task, window.demo, window.start, window.view, *more)
    return int.from_bytes(digest[:8], "big") >> 1


def _stable_hash(*parts) -> bytes:
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
