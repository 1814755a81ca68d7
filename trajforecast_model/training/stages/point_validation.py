"""Validation of baselines by the protocol's errors, at its query points."""

from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.evaluation.forecasters.points import PointForecaster
from trajforecast_model.evaluation.scores import window_errors
from trajforecast_model.evaluation.windows import moving_windows
from trajforecast_model.training.configs import LoggingConfig
from trajforecast_model.training.distributed import World

_BATCH = 16


def validate_points(
    forecaster: PointForecaster, dataset: ShardDataset, logging: LoggingConfig, world: World, at_most: int | None = None
) -> dict[str, float]:
    """MeanT and Min of some val windows, px^2 summed over x and y, beside nothing moves; per view.

    Args:
        at_most: windows; None is `logging.validation_windows`.
    """
    per_view = max(1, (at_most or logging.validation_windows) // len(dataset.info.views))
    windows = list(moving_windows(dataset, per_view, lambda: None))
    k = logging.validation_samples
    sums = {
        f"{view}_{name}_px2": [0.0, 0] for view in dataset.info.views for name in ("mean_t", "min", "nothing_moves")
    }
    share = list(enumerate(windows))[world.rank :: world.size]
    for part in (share[start : start + _BATCH] for start in range(0, len(share), _BATCH)):
        batch = [window for _, window in part]
        forecasts = forecaster.forecast(batch, k, None, [seed for seed, _ in part])
        for window, forecast in zip(batch, forecasts, strict=True):
            truth = window.drawn_truth
            errors = window_errors(forecast.drawn, truth, [k])
            still = float(((truth[:1] - truth) ** 2).sum(-1).mean())
            figures = {"mean_t": errors["mean_t"][str(k)], "min": errors["min"][str(k)], "nothing_moves": still}
            for name, value in figures.items():
                total = sums[f"{window.window.view}_{name}_px2"]
                total[0] += value
                total[1] += 1
    return world.means({name: (total, count) for name, (total, count) in sums.items()})
