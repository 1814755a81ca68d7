"""What fewer network evaluations cost: the forecast's errors and diversity by solver and by number of evaluations.

Every row forecasts the same windows from the same noise, that of `evaluate`, and is compared with one reference, so the
intervals of the ratios are of paired draws of demos. docs/few_steps.md shows and explains such a table.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.checkpoint import checkpoint_name
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.evaluation.forecasters.points import check_dense_fit
from trajforecast_model.evaluation.metrics.bootstrap import DemoBootstrap
from trajforecast_model.evaluation.reports.names import distinct_names
from trajforecast_model.evaluation.reports.tables import Table, as_number
from trajforecast_model.evaluation.reports.written import write_report
from trajforecast_model.evaluation.scores import window_errors
from trajforecast_model.evaluation.windows import (
    PROTOCOL_IMAGE_SIZE,
    MovingWindow,
    check_max_windows,
    moving_windows,
    stable_number,
)
from trajforecast_model.files.outputs import ready_file
from trajforecast_model.flow.solvers import check_solver
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.tracks.grid import rescale

METRICS = {"mean_t": "MeanT", "min": "Min", "scene_sample_variance": "variance"}
_WINDOWS_AT_ONCE = 8


@dataclass(frozen=True)
class Sampling:
    checkpoint: str  # its name in the report
    solver: str
    evaluations: int

    def __str__(self) -> str:
        return f"{self.checkpoint} {self.solver} {self.evaluations}"


def sweep(
    teacher: str,
    data: Path,
    solvers: list[str],
    evaluations: list[int],
    out: Path,
    *,
    students: Iterable[str] = (),
    reference: tuple[str, int] = ("euler", 9),
    k: int = 8,
    split: str = "val",
    seed: int = 0,
    max_windows: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    table: Path | None = None,
) -> dict:
    """Forecasts with each solver and number of evaluations, prints a table and writes the JSON report.

    Args:
        teacher: checkpoint that every solver is tried on.
        students: further checkpoints, each with the solver and number of evaluations that its config names.
        reference: the teacher's solver and number of evaluations that all rows are compared with.
        max_windows: this many moving windows a view, drawn at random once and for all; None for every one.
        table: also write the table to this file, as Markdown.

    Returns:
        The report: {"k", "n_windows": {view: ..}, "reference", "rows": [{"checkpoint", "solver", "evaluations",
        "views": {view: {metric: px^2, "of_reference": {metric: {"ratio", "interval"}}}}}], ..}.

    Raises:
        ValueError: for a solver that does not exist, numbers out of range, data that does not fit a checkpoint, or in
            which nothing moves.
    """
    if k < 2:
        raise ValueError(f"k: got {k}, expected at least 2 samples, without which there is no variance")
    if any(number < 1 for number in evaluations):
        raise ValueError(f"evaluations: got {min(evaluations)}, expected at least 1")
    for solver in (*solvers, reference[0]):
        check_solver(solver)
    check_max_windows(max_windows)
    out = ready_file("out", out)
    table = None if table is None else ready_file("table", table)
    dataset = ShardDataset(data, split)
    checkpoints = [str(teacher), *map(str, students)]
    names = distinct_names(checkpoints, checkpoint_name)
    forecasters = {
        name: Forecaster.of_pictures(checkpoint, device=device, dtype=dtype)
        for name, checkpoint in zip(names, checkpoints, strict=True)
    }
    samplings = [Sampling(names[0], *pair) for pair in (reference, *itertools.product(solvers, evaluations))]
    for name, forecaster in forecasters.items():
        check_dense_fit(forecaster.config, dataset.info)
        if name in names[1:]:
            samplings.append(Sampling(name, forecaster.config.solver, forecaster.config.steps))
    windows = list(moving_windows(dataset, max_windows, lambda: None))
    if not windows:
        raise ValueError(f"nothing moves in the {split} split of {data}: no window has a point to evaluate")
    values = {
        sampling: _measure(forecasters[sampling.checkpoint], sampling, windows, k, seed)
        for sampling in tqdm(dict.fromkeys(samplings), desc="few-steps", unit=" rows")
    }
    report = {
        "k": k,
        "split": split,
        "seed": seed,
        "dtype": dtype,
        "unit": f"squared pixels of a {PROTOCOL_IMAGE_SIZE[0]} px image, summed over x and y, at the protocol's points",
        "reference": str(samplings[0]),
        **_compare(values, windows, dataset.info.views),
    }
    write_report(report, _table(report), out, table)
    return report


def _measure(
    forecaster: Forecaster, sampling: Sampling, windows: list[MovingWindow], k: int, seed: int
) -> dict[str, np.ndarray]:
    """Each metric of each window, px^2 [N]."""
    rows = []
    for start in range(0, len(windows), _WINDOWS_AT_ONCE):
        batch = windows[start : start + _WINDOWS_AT_ONCE]
        images = np.stack([one.window.image for one in batch])
        instructions = [one.window.instruction for one in batch]
        seeds = [stable_number(one.window, seed) for one in batch]
        tracks = forecaster.predict_batch(images, instructions, k, sampling.evaluations, seeds, sampling.solver)
        tracks = rescale(tracks, images.shape[1:3], PROTOCOL_IMAGE_SIZE)
        for one, samples in zip(batch, tracks, strict=True):
            drawn = samples.reshape(*samples.shape[:2], -1, 2)[:, :, one.drawn]
            errors = window_errors(drawn, one.truth.reshape(len(one.truth), -1, 2)[:, one.drawn], [k])
            mean_t, mean, least = (errors[name][str(k)] for name in ("mean_t", "mean", "min"))
            rows.append((mean_t, least, mean - mean_t))  # Mean = MeanT + the variance of the samples
    return dict(zip(METRICS, np.array(rows).T, strict=True))


def _compare(
    values: dict[Sampling, dict[str, np.ndarray]], windows: list[MovingWindow], views: tuple[str, ...]
) -> dict:
    of_view = {view: [i for i, one in enumerate(windows) if one.window.view == view] for view in views}
    of_view = {view: indices for view, indices in of_view.items() if indices}
    bootstraps = {
        view: DemoBootstrap([(windows[i].window.task, windows[i].window.demo) for i in indices])
        for view, indices in of_view.items()
    }
    reference = next(iter(values.values()))

    def row(measured: dict[str, np.ndarray], view: str) -> dict:
        chosen = {metric: (measured[metric][of_view[view]], reference[metric][of_view[view]]) for metric in METRICS}
        return {metric: float(ours.mean()) for metric, (ours, _) in chosen.items()} | {
            "of_reference": {
                metric: {
                    "ratio": float(ours.sum() / theirs.sum()) if theirs.any() else None,
                    "interval": bootstraps[view].ratio(ours, theirs),
                }
                for metric, (ours, theirs) in chosen.items()
            }
        }

    return {
        "n_windows": {view: len(indices) for view, indices in of_view.items()},
        "rows": [
            {
                "checkpoint": sampling.checkpoint,
                "solver": sampling.solver,
                "evaluations": sampling.evaluations,
                "views": {view: row(measured, view) for view in of_view},
            }
            for sampling, measured in values.items()
        ],
    }


def _table(report: dict) -> Table:
    windows = ", ".join(f"{number} of {view}" for view, number in report["n_windows"].items())
    header = ["solver", "evaluations"]
    header += [f"{view} {heading}" for view in report["n_windows"] for heading in METRICS.values()]
    rows = [
        [row["checkpoint"], row["solver"], str(row["evaluations"])]
        + [_cell(of_view, metric) for of_view in row["views"].values() for metric in METRICS]
        for row in report["rows"]
    ]
    title = f"px^2, and of it the ratio to {report['reference']} with its 95 % interval; k = {report['k']}; {windows}"
    return Table(title, header, rows)


def _cell(of_view: dict, metric: str) -> str:
    compared = of_view["of_reference"][metric]
    interval = "" if compared["interval"] is None else " ({:.2f} to {:.2f})".format(*compared["interval"])
    return f"{of_view[metric]:.1f}: {as_number(compared['ratio'])}{interval}"
