"""Prepared windows as moments to look at: what really happened and, with checkpoints, what they forecast."""

from pathlib import Path

import numpy as np

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.evaluation.forecasters.points import check_views, predict_windows
from trajforecast_model.evaluation.reports.names import distinct_names
from trajforecast_model.evaluation.windows import stable_number
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.trajloom.forecaster import TrajloomForecaster
from trajforecast_model.viewing.scenes import Scene, SeenView


def scenes_of_windows(
    folder: Path, split: str, number: int, checkpoints: list[str], k: int, device: str, dtype: str
) -> list[Scene]:
    """Evenly chosen moments of a prepared folder, all views of each.

    Args:
        number: of moments at most.
        checkpoints: that forecast each moment, k futures from its pictures, its instruction and, where they look at it, its
            past; seeds are the same for all.
    """
    if number < 1:
        raise ValueError(f"moments: got {number}, expected at least 1")
    data = ShardDataset(folder, split)
    rows = data.rows
    moments: dict[tuple, list[int]] = {}
    for index, moment in enumerate(zip(rows.task, rows.demo, rows.start, strict=True)):
        moments.setdefault(moment, []).append(index)
    every = list(moments.items())
    chosen = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, min(number, len(every))).round().astype(int))]
    windows = [(moment, [data[index] for index in indices]) for moment, indices in chosen]
    forecasts: list[dict[str, dict[str, np.ndarray]]] = [{} for _ in windows]  # by model and view
    names = distinct_names(checkpoints, lambda path: path.name) if checkpoints else []
    for name, checkpoint in zip(names, checkpoints, strict=True):
        forecaster = Forecaster.from_pretrained(checkpoint, device=device, dtype=dtype)
        if not isinstance(forecaster, TrajloomForecaster):
            check_views(data.info, forecaster.config.views)
        for of_models, (_, views) in zip(forecasts, windows, strict=True):
            seeds = [stable_number(window) for window in views]
            tracks, _ = predict_windows(forecaster, views, k, None, seeds)
            of_models[name] = dict(zip([window.view for window in views], tracks, strict=True))
        forecaster.release()
    return [
        Scene(
            f"{task}, {demo}, frame {start}",
            views[0].instruction,
            data.info.dt,
            tuple(
                SeenView(w.view, w.image, {model: of[w.view] for model, of in of_models.items()}, w.tracks)
                for w in views
            ),
        )
        for ((task, demo, start), views), of_models in zip(windows, forecasts, strict=True)
    ]
