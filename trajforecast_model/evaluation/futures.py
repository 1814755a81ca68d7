"""Scenes with several true futures: is what the model samples what may happen, and does it vary as much?

The futures of a scene are windows that begin with the same picture and instruction (blocks, or LIBERO simulated with
`--futures`). WHN section 4 compares K sampled with M simulated ones. docs/evaluation.md has every formula.
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.evaluation.forecasters.models import load_dense_forecaster
from trajforecast_model.evaluation.forecasters.pixels import track_grid
from trajforecast_model.evaluation.forecasters.points import check_dense_fit
from trajforecast_model.evaluation.metrics import best_of_k, scene_sample_variance
from trajforecast_model.evaluation.metrics.fvmd import clips, fvmd, fvmd_per_scene, rounded_to_eighths
from trajforecast_model.evaluation.reports.tables import Table
from trajforecast_model.evaluation.reports.written import write_report
from trajforecast_model.evaluation.windows import stable_number
from trajforecast_model.files.outputs import ready_file
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.tracks.grid import rescale
from trajforecast_model.tracks.motion import PROTOCOL_IMAGE_SIZE, moving_points

IMAGE_SIZE = (256, 256)  # the papers' figures of several futures are in pixels of such images
SCENES_AT_ONCE = 4


@dataclass(frozen=True)
class Scene:
    """One picture and what followed it; tracks in pixels at IMAGE_SIZE."""

    simulated: np.ndarray  # float32 [M, T, H, W, 2]
    sampled: np.ndarray  # float32 [K, T, H, W, 2]
    moving: np.ndarray  # bool [H, W], the points that move in any simulated future, by the protocol's filter

    @classmethod
    def of(cls, simulated: np.ndarray, sampled: np.ndarray) -> "Scene":
        return cls(simulated, sampled, moving_points(rescale(simulated, IMAGE_SIZE, PROTOCOL_IMAGE_SIZE)).any(axis=0))


def evaluate_futures(
    checkpoint: str | Path,
    data: Path,
    sample_counts: list[int],
    out: Path,
    *,
    split: str = "val",
    steps: int | None = None,
    seed: int = 0,
    max_scenes: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    table: Path | None = None,
) -> None:
    """Samples futures of every scene and compares them with the simulated ones; prints a table, writes a JSON report.

    Args:
        sample_counts: the values of k of best-of-k; everything else uses the largest.
        max_scenes: only the first so many scenes.
        table: also write the table to this file, as Markdown.

    Raises:
        ValueError: for numbers out of range, data without several futures of a scene, in which nothing moves, or that
            does not fit the checkpoint.
    """
    counts = sorted(set(sample_counts))
    if not counts or counts[0] < 1 or counts[-1] < 2:
        raise ValueError(f"k: got {sample_counts}, expected whole numbers, of which one is at least 2")
    if max_scenes is not None and max_scenes < 2:
        raise ValueError(f"max-windows: got {max_scenes}, expected at least 2 scenes")
    out = ready_file("out", out)
    table = None if table is None else ready_file("table", table)
    dataset = ShardDataset(data, split)
    groups = futures_of_scenes(dataset)[:max_scenes]
    if len(groups) < 2:
        raise ValueError(
            f"the {split} split of {data} has {len(groups)} scenes with several futures, needed are 2; simulate with "
            "--rollouts (blocks) or --futures (LIBERO), or use another --split"
        )
    forecaster = load_dense_forecaster(checkpoint, device, dtype)
    if forecaster.needs_history:
        raise ValueError(f"{forecaster.model_id} forecasts from the past alone, and the futures protocol shows no past")
    check_dense_fit(forecaster.config, dataset.info)
    scenes = _sample(dataset, groups, forecaster, counts[-1], steps, seed)
    rows = compare_futures(scenes, counts)
    if dataset.info.frame_size is not None:
        rows["tracker"] = _measure(_tracked(dataset, groups), counts)
    report = {
        "model": forecaster.model_id,
        "n_scenes": len(scenes),
        "n_simulated": [len(scene.simulated) for scene in scenes],
        "k": counts,
        "rows": rows,
        "convention": _convention(dataset.info, split, steps or forecaster.config.steps, seed, dtype),
    }
    write_report(report, as_table(report), out, table)


def futures_of_scenes(dataset: ShardDataset) -> list[list[int]]:
    """Indices of the windows of each scene that has two futures or more."""
    scenes: dict[tuple, list[int]] = {}
    for index in range(len(dataset)):
        window = dataset[index]
        picture = hashlib.sha256(window.image.tobytes()).digest()
        scenes.setdefault((window.task, window.view, window.start, window.instruction, picture), []).append(index)
    return [indices for indices in scenes.values() if len(indices) > 1]


def compare_futures(scenes: list[Scene], counts: list[int]) -> dict[str, dict]:
    """What is measured, by row: the model; "nothing moves"; the model and the simulator against half of the futures.

    The last is what a perfect model would get in the row before: as many samples, the other half of the futures, against
    as many futures. Both need four simulated futures a scene.

    Args:
        counts: the values of k of best-of-k, ascending; no more than were sampled.

    Raises:
        ValueError: where nothing moves in any scene.
    """
    if not any(scene.moving.any() for scene in scenes):
        raise ValueError("nothing moves in any simulated future of these scenes, so there is nothing to evaluate")
    still = [
        replace(scene, sampled=np.repeat(scene.simulated[:1, :1], scene.simulated.shape[1], axis=1)) for scene in scenes
    ]
    rows = {
        "model": _measure(scenes, counts),
        "nothing moves": {"best_of_k": _best_of_k(still, [1]), "scene_sample_variance": 0.0},
    }
    if min(len(scene.simulated) for scene in scenes) >= 4:
        halves = [replace(scene, simulated=scene.simulated[0::2], sampled=scene.simulated[1::2]) for scene in scenes]
        as_many = [
            replace(half, sampled=scene.sampled[: len(half.sampled)])
            for scene, half in zip(scenes, halves, strict=True)
        ]
        rows["model against half"] = _measure(as_many, counts)
        rows["simulator against half"] = _measure(halves, counts)
    return rows


def _measure(scenes: list[Scene], counts: list[int]) -> dict:
    fewest = min(len(scene.sampled) for scene in scenes)
    counts = [k for k in counts if k <= fewest] or [fewest]
    sampled = [scene.sampled for scene in scenes]
    simulated = [scene.simulated for scene in scenes]
    measured = {
        "best_of_k": _best_of_k(scenes, counts),
        "scene_sample_variance": float(np.mean([scene_sample_variance(futures[None]) for futures in sampled])),
        "scene_sample_variance_simulated": float(np.mean([scene_sample_variance(truth[None]) for truth in simulated])),
    }
    for suffix, change in (("", np.asarray), ("_rounded", rounded_to_eighths)):
        ours = [clips(change(futures)) for futures in sampled]
        theirs = [clips(change(futures)) for futures in simulated]
        measured[f"fvmd{suffix}"] = asdict(fvmd(np.concatenate(ours), np.concatenate(theirs)))
        measured[f"fvmd_per_scene{suffix}"] = asdict(fvmd_per_scene(ours, theirs))
    return measured


def _best_of_k(scenes: list[Scene], counts: list[int]) -> dict[str, dict[str, float]]:
    """px^2 summed over x and y, averaged over time and points: over all points, and over those that move."""
    points = {
        "all_points": [np.ones_like(scene.moving) for scene in scenes],
        "moving_points": [s.moving for s in scenes],
    }
    return {
        name: {
            str(k): float(
                np.mean(
                    [
                        best_of_k(scene.sampled[None, :k][..., chosen, :], scene.simulated[None][..., chosen, :])
                        for scene, chosen in zip(scenes, masks, strict=True)
                        if chosen.any()
                    ]
                )
            )
            for k in counts
        }
        for name, masks in points.items()
    }


def _sample(
    dataset: ShardDataset, groups: list[list[int]], forecaster: Forecaster, k: int, steps: int | None, seed: int
) -> list[Scene]:
    scenes = []
    with tqdm(total=len(groups), unit="scene", desc="evaluate") as progress:
        for start in range(0, len(groups), SCENES_AT_ONCE):
            futures = [[dataset[index] for index in indices] for indices in groups[start : start + SCENES_AT_ONCE]]
            firsts = [windows[0] for windows in futures]
            sampled = forecaster.predict_batch(
                np.stack([window.image for window in firsts]),
                [window.instruction for window in firsts],
                k,
                steps,
                [stable_number(window, seed) for window in firsts],
            )  # [B, k, T, H, W, 2]
            size = dataset.info.image_size
            for windows, samples in zip(futures, sampled, strict=True):
                truth = np.stack([window.tracks for window in windows])
                scenes.append(Scene.of(rescale(truth, size, IMAGE_SIZE), rescale(samples, size, IMAGE_SIZE)))
            progress.update(len(firsts))
    return scenes


def _tracked(dataset: ShardDataset, groups: list[list[int]]) -> list[Scene]:
    """The tracks that the tracker of generated videos reads off the simulated ones: what perfect pixels would get."""
    info, scenes = dataset.info, []
    for indices in groups:
        windows = [dataset[index] for index in indices]
        truth = np.stack([window.tracks for window in windows])
        read = np.stack([track_grid(window.frames, info.grid, info.image_size) for window in windows])
        scenes.append(Scene.of(rescale(truth, info.image_size, IMAGE_SIZE), rescale(read, info.image_size, IMAGE_SIZE)))
    return scenes


def as_table(report: dict) -> Table:
    """A row for each of the report's: the model, nothing moves, model and simulator against half, the tracker."""
    largest = str(report["k"][-1])
    rows = []
    for name, row in report["rows"].items():
        moving = row["best_of_k"]["moving_points"]
        k = largest if largest in moving else list(moving)[-1]
        cells = [f"{name} (k = {k})", f"{moving[k]:.1f}", f"{row['scene_sample_variance']:.1f}"]
        for metric in ("fvmd", "fvmd_per_scene"):
            cells.append(f"{row[metric + '_rounded']['combined']:.0f}" if metric in row else "-")
        rows.append(cells)
    return Table(
        f"{report['n_scenes']} scenes; px^2 at 256 px; best of k over the points that move; FVMD of tracks rounded to 1/8 px",
        ["best of k", "scene sample variance", "FVMD", "FVMD (S)"],
        rows,
    )


def _convention(info: DatasetInfo, split: str, steps: int, seed: int, dtype: str) -> dict:
    return {
        "unit": f"squared pixels of a {IMAGE_SIZE[0]} px image, summed over x and y, averaged over all frames",
        "best_of_k": "least error between any sampled and any simulated future, averaged over scenes",
        "moving_points": "those that pass the LIBERO protocol's filter in any simulated future of the scene",
        "fvmd": f"clips of 16 of the {info.num_frames} frames, one beginning at every frame, all points",
        "against half": "as many samples against every other simulated future: the model's, or the other simulated ones",
        "tracker": "Lucas-Kanade through the simulated videos, where the data holds them, against their exact tracks",
        "split": split,
        "solver_steps": steps,
        "dtype": dtype,
        "seed": seed,
        "dt": info.dt,
    }
