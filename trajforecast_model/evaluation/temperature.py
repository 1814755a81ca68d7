"""The temperature at which a checkpoint's samples lie about the truth as often as they should.

Noise that is a little larger than in training makes samples that differ more. How much is needed is found on windows that
were not trained on, and written into a copy of the checkpoint.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.checkpoint import checkpoint_folder, export_within, load_config, save_config
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.evaluation.forecasters.models import load_dense_forecaster
from trajforecast_model.evaluation.forecasters.points import DenseForecaster
from trajforecast_model.evaluation.protocol import score_windows
from trajforecast_model.evaluation.reports.report import summarise
from trajforecast_model.evaluation.windows import check_max_windows
from trajforecast_model.files.atomic import new_folder

LEAST, MOST = 0.5, 3.0
CLOSE = 0.005  # of the coverage
MOST_TRIES = 8


@dataclass(frozen=True)
class Trial:
    temperature: float
    coverage: float  # the mean of the views' shares of truths between the samples, per coordinate
    wanted: float
    mean_t: dict[str, float]  # by view, px^2 summed over x and y

    def __str__(self) -> str:
        errors = ", ".join(f"{view} MeanT {error:.2f} px^2" for view, error in self.mean_t.items())
        return f"temperature {self.temperature:.3f}: truth between the samples {self.coverage:.3f}; {errors}"


def fit_temperature(
    checkpoint: str | Path,
    data: Path,
    out: Path,
    *,
    k: int = 8,
    split: str = "val",
    max_windows: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> float:
    """Writes a copy of a dense checkpoint with its temperature, and prints each one that was tried.

    Args:
        k: samples; with two or more the truth may lie between them.
        split: of `data`, whose windows the checkpoint was not trained on.
        max_windows: as of `evaluate`.

    Returns:
        The temperature.

    Raises:
        ValueError: for a checkpoint without noise, data that does not fit it, in which nothing moves, or numbers out of
            range, and where `out` is there already.
    """
    if k < 2:
        raise ValueError(f"k: got {k}, expected two or more samples, between which the truth may lie")
    check_max_windows(max_windows)
    folder = checkpoint_folder(export_within(checkpoint), allow_download=False)
    config = load_config(folder)
    dataset = ShardDataset(data, split, history_pictures=False)
    model = load_dense_forecaster(folder, device, "float32")
    forecaster = DenseForecaster(model)
    forecaster.check_fit(dataset.info)

    def measure(temperature: float) -> Trial:
        model.temperature = temperature
        scores = score_windows(dataset, forecaster, [k], None, seed, max_windows, None)
        if not scores:
            raise ValueError(f"nothing moves in the {split} split of {data}: no window has a point to look at")
        report = summarise(scores, dataset.info.views, [k])
        coverages = [view["coverage"] for view in report["calibration"]["views"].values()]
        trial = Trial(
            temperature,
            float(np.mean([coverage["per_coordinate"] for coverage in coverages])),
            coverages[0]["expected_per_coordinate"],
            {view: scores["mean_t"][str(k)] for view, scores in report["views"].items()},
        )
        tqdm.write(str(trial))
        return trial

    with new_folder(out) as made:
        temperature = search(measure)
        for file in folder.iterdir():
            shutil.copy2(file, made)
        save_config(replace(config, temperature=round(temperature, 3)), made)
    print(f"wrote {out}")
    return round(temperature, 3)


def search(measure: Callable[[float], Trial]) -> float:
    """Where coverage, which grows with the temperature, is what is wanted; or the end of the range that is nearer to it."""
    low, high = LEAST, MOST
    trial = measure(1.0)
    for _ in range(MOST_TRIES):
        if abs(trial.coverage - trial.wanted) <= CLOSE:
            break
        if trial.coverage < trial.wanted:
            low = trial.temperature
        else:
            high = trial.temperature
        middle = np.sqrt(low * high)
        trial = measure(float(middle))
    return trial.temperature
