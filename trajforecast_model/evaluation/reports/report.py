"""The scores of many windows as one report: averages, intervals, calibration. Everything in it is JSON."""

import hashlib
from collections.abc import Callable
from dataclasses import fields

import numpy as np

from trajforecast_model.evaluation.metrics.bootstrap import LEVEL, RESAMPLES, DemoBootstrap
from trajforecast_model.evaluation.metrics.calibration import calibration_summary
from trajforecast_model.evaluation.scores import Errors, VisibilityScores, WindowScores
from trajforecast_model.evaluation.suites import suite_of

SQUARED_ERRORS = ("mean_t", "mean", "min", "min_per_track")


def summarise(scores: list[WindowScores], views: tuple[str, ...], counts: list[int]) -> dict:
    """The report of an evaluation, without the convention it was made by.

    Args:
        scores: of every window; sorted here, so that their order does not matter to the last digit.
        views: the order of the views in the report; those without a window are left out.
        counts: the numbers of samples, ascending.
    """
    scores = sorted(scores, key=lambda score: score.index)
    by_view = {view: [score for score in scores if score.view == view] for view in views}
    by_view = {view: of_view for view, of_view in by_view.items() if of_view}
    return {
        "views": {view: _full_summary(of_view) for view, of_view in by_view.items()},
        "per_suite": _grouped(by_view, _suite, _summary),
        "per_task": _grouped(by_view, _task, _summary),
        "per_demo": {view: _per_demo(of_view) for view, of_view in by_view.items()},
        "intervals": {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "views": {view: _intervals(of_view) for view, of_view in by_view.items()},
            "per_suite": _grouped(by_view, _suite, _intervals),
            "per_task": _grouped(by_view, _task, _intervals),
        },
        "over_time": {
            "k": counts[-1],
            "views": {view: _over_time(of_view) for view, of_view in by_view.items()},
        },
        "calibration": _calibration(by_view, counts[-1]),
    }


def windows_fingerprint(scores: list[WindowScores]) -> str:
    """The same for two evaluations of the same query points of the same windows of the same tracks."""
    scores = sorted(scores, key=lambda score: score.index)
    parts = [(score.task, score.demo, score.view, score.drawn_points.nothing_moves) for score in scores]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _suite(score: WindowScores) -> str:
    return suite_of(score.task)


def _task(score: WindowScores) -> str:
    return score.task


def _grouped(
    by_view: dict[str, list[WindowScores]],
    group_of: Callable[[WindowScores], str],
    summary_of: Callable[[list[WindowScores]], dict],
) -> dict[str, dict]:
    """A summary for each group of windows and view, in the order of the groups' names."""
    groups: dict[str, dict[str, list[WindowScores]]] = {}
    for view, of_view in by_view.items():
        for score in of_view:
            groups.setdefault(group_of(score), {}).setdefault(view, []).append(score)
    return {name: {view: summary_of(chosen) for view, chosen in groups[name].items()} for name in sorted(groups)}


def _per_demo(scores: list[WindowScores]) -> list[dict]:
    """Averages of every demo: what two reports need to be compared pair by pair."""
    demos: dict[tuple[str, str], list[WindowScores]] = {}
    for score in scores:
        demos.setdefault((score.task, score.demo), []).append(score)
    return [{"task": task, "demo": demo, **_summary(chosen)} for (task, demo), chosen in demos.items()]


def _full_summary(scores: list[WindowScores]) -> dict:
    summary = _summary(scores)
    summary["averaged_over_xy"] = {name: _halved(summary[name]) for name in ("nothing_moves", *SQUARED_ERRORS)}
    if scores[0].all_moving_points is not None:
        summary["all_moving_points"] = _averages([score.all_moving_points for score in scores])
    if scores[0].visibility is not None:
        summary["visibility"] = _visibility([score.visibility for score in scores])
    return summary


def _visibility(windows: list[VisibilityScores]) -> dict:
    """Every window counts the same, those left out in which nothing counts."""
    within = [window.points_within for window in windows if window.points_within is not None]
    names = [field.name for field in fields(VisibilityScores) if field.name != "points_within"]
    return {
        **{name: _mean_of_known([getattr(window, name) for window in windows]) for name in names},
        "points_within": {px: float(np.mean([one[px] for one in within])) for px in within[0]} if within else None,
    }


def _mean_of_known(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _summary(scores: list[WindowScores]) -> dict:
    return {"n_windows": len(scores), **_averages([score.drawn_points for score in scores])}


def _averages(windows: list[Errors]) -> dict:
    """Every window counts the same, however many points it has."""
    averages: dict = {"nothing_moves": float(np.mean([window.nothing_moves for window in windows]))}
    if windows[0].extrapolations:
        averages["extrapolations"] = {
            name: float(np.mean([window.extrapolations[name] for window in windows]))
            for name in windows[0].extrapolations
        }
    for metric, by_k in windows[0].by_metric.items():
        averages[metric] = {k: float(np.mean([window.by_metric[metric][k] for window in windows])) for k in by_k}
    return averages


def _halved(value: float | dict[str, float]) -> float | dict[str, float]:
    return {k: v / 2 for k, v in value.items()} if isinstance(value, dict) else value / 2


def _intervals(scores: list[WindowScores]) -> dict:
    """[low, high] of the averages of one view, and of their ratios to "nothing moves"."""
    bootstrap = DemoBootstrap([(score.task, score.demo) for score in scores])
    still = [score.drawn_points.nothing_moves for score in scores]
    by_metric = scores[0].drawn_points.by_metric
    values = {
        metric: {k: [score.drawn_points.by_metric[metric][k] for score in scores] for k in by_k}
        for metric, by_k in by_metric.items()
    }
    extrapolated = {
        name: [score.drawn_points.extrapolations[name] for score in scores]
        for name in scores[0].drawn_points.extrapolations
    }

    def of(others: list[float]) -> dict:
        return {metric: {k: bootstrap.ratio(v, others) for k, v in values[metric].items()} for metric in SQUARED_ERRORS}

    intervals = {
        "n_demos": bootstrap.num_demos,
        "nothing_moves": bootstrap.mean(still),
        **{metric: {k: bootstrap.mean(v) for k, v in by_k.items()} for metric, by_k in values.items()},
        "of_nothing_moves": of(still),
    }
    if extrapolated:
        intervals["extrapolations"] = {name: bootstrap.mean(errors) for name, errors in extrapolated.items()}
        intervals["of_extrapolations"] = {name: of(errors) for name, errors in extrapolated.items()}
    return intervals


def _over_time(scores: list[WindowScores]) -> dict[str, list[float]]:
    return {
        metric: np.mean([score.over_time[metric] for score in scores], axis=0).tolist()
        for metric in scores[0].over_time
    }


def _calibration(by_view: dict[str, list[WindowScores]], k: int) -> dict | None:
    """None for k = 1 and for a model that does not sample: a single sample has no spread."""
    if any(score.calibration is None for of_view in by_view.values() for score in of_view):
        return None
    views = {
        view: calibration_summary([score.calibration for score in of_view], k) for view, of_view in by_view.items()
    }
    return {"k": k, "views": views}
