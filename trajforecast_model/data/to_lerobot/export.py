"""`trajforecast export lerobot`: recordings as a LeRobot dataset that has their tracks beside each frame."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
from tqdm import tqdm

from trajforecast_model.bags.places import KIND as BAG
from trajforecast_model.data.demo import at_rate
from trajforecast_model.data.labelers.kinds import EXACT, STORED, check_labeler, make_labeler
from trajforecast_model.data.labelers.suited import check_suited, usual_labeler
from trajforecast_model.data.labelers.trackers.interface import TrackerOptions
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.data.sources.find import demos_of, find_sources
from trajforecast_model.data.sources.frame_times import check_rates
from trajforecast_model.data.sources.interface import Source, SourceOptions
from trajforecast_model.data.to_lerobot.dataset import DatasetWriter
from trajforecast_model.data.to_lerobot.tracks import Forecasting, TrackFeatures, Values
from trajforecast_model.data.windows import WindowLayout, check_layout
from trajforecast_model.data.words import check_words, words_of
from trajforecast_model.files.atomic import new_folder
from trajforecast_model.files.disk import DiskFull, is_full
from trajforecast_model.forecaster import Forecaster
from trajforecast_model.sim.mujoco_setup import configure_mujoco

_SAME_RATE = 0.01  # by which rates may differ that are taken for one


@dataclass(frozen=True)
class Wanted:
    """What the dataset is to hold. None: the checkpoint's, or else the recordings' dt, a grid of 16 x 16 and 16 frames."""

    grid: tuple[int, int] | None = None
    num_frames: int | None = None
    history: int = 0
    dt: float | None = None


def export_lerobot(
    demos: list[Path],
    out: Path,
    labeler: str | None = None,
    wanted: Wanted | None = None,
    *,
    tracker: TrackerOptions | None = None,
    reading: SourceOptions | None = None,
    forecasting: Forecasting | None = None,
) -> int:
    """Writes a dataset of version 3.0 that is whole or not there.

    Args:
        demos: files or folders of any kind that `find_sources` knows.
        labeler: None for exact tracks where the recordings have states, and Lucas-Kanade elsewhere.
        forecasting: also what this model forecasts at each frame.

    Returns:
        The exit code: 0, or 1 if some demos were broken. Those are listed on stderr and the others exported.

    Raises:
        ValueError: for an `out` that exists, demos that cannot be labelled so, rates that no dataset can have, or if every
            demo is broken.
    """
    wanted, tracker, reading = wanted or Wanted(), tracker or TrackerOptions(), reading or SourceOptions()
    if labeler == STORED:
        raise ValueError("--labeler stored: its tracks are of one frame a video, and a dataset has them at each frame")
    if labeler is not None:
        check_labeler(labeler, tracker)
    check_rates(wanted.dt, reading.fps)
    config = None if forecasting is None else forecasting.forecaster.config
    if config is not None:
        wanted = replace(wanted, dt=wanted.dt or config.dt, num_frames=wanted.num_frames or config.num_frames)
        _check_model(config, wanted.dt, reading)
    sources = find_sources(demos, reading if wanted.dt is None else replace(reading, dt=wanted.dt))
    listed, broken = demos_of(sources)
    labeler = labeler or usual_labeler(sources)
    fps = _whole_rate(wanted.dt, listed)
    size = reading.image_size if config is None else config.image_size
    grid = wanted.grid or ((16, 16) if config is None else _default_grid(config.grid))
    layout = WindowLayout(
        wanted.num_frames or 16, grid if config is None else tuple(config.grid), wanted.history
    )  # fmt: skip
    check_layout(layout, size)
    if config is not None and any(have % keep for have, keep in zip(config.grid, grid, strict=True)):
        raise ValueError(
            f"--grid {grid[0]}x{grid[1]}: its rows and columns must divide those of the checkpoint's grid, "
            f"{config.grid[0]}x{config.grid[1]}"
        )
    info = DatasetInfo(
        labeler=labeler,
        stride=1,
        dt=1 / fps,
        num_frames=layout.num_frames,
        grid=layout.grid,
        history_frames=layout.history,
        views=tuple(reading.cameras),
        image_size=size,
        labeler_weights=tracker.weights.name if tracker.weights else None,
    )
    check_suited(sources, info, reading.cameras)
    check_words(words_of(listed), reading.instruction)
    if labeler == EXACT and any(source.replayable for source in sources):
        configure_mujoco()  # says once what is missing, and not of each demo
    features = TrackFeatures(make_labeler(labeler, tracker), info, reading.image_size, grid, forecasting)
    jobs = [(source, name) for source, names in listed for name in names]
    writer = None
    try:
        with new_folder(out) as folder:
            for source, name in tqdm(jobs, unit="demo", desc="export"):
                try:
                    demo = at_rate(source.read(name), info.dt)
                    values = features.values(demo)
                    if writer is None:
                        writer = DatasetWriter(folder, fps, features.features(values))
                    values = _as_the_first(values, writer.features)
                except (ValueError, cv2.error) as error:
                    message, place = str(error), str(source.place)
                    broken.append(message if place in message else f"{place}: {name}: {message}")
                    continue
                writer.add(demo.instruction, values)
                for note in demo.notes:
                    print(f"exported all the same: {note}", file=sys.stderr)
            if writer is None:
                raise ValueError("no demo could be exported: " + "; ".join(broken))
            writer.close()
    except OSError as error:
        if is_full(error) and not isinstance(error, DiskFull):
            raise DiskFull(f"the disk is full: {out} could not be written ({error.strerror})") from error
        raise
    for problem in broken:
        print(f"not exported: {problem}", file=sys.stderr)
    print(f"wrote {out}: {len(jobs) - len(broken)} episodes at {fps} frames a second, tracks by {labeler}")
    return 1 if broken else 0


def load_forecasting(checkpoint: str, k: int, steps: int | None, seed: int, device: str, dtype: str) -> Forecasting:
    """Raises ValueError for a checkpoint that forecasts nothing from pictures and words."""
    forecaster = Forecaster.of_pictures(checkpoint, device, dtype)
    if k < 1:
        raise ValueError(f"-k {k}: expected at least 1")
    return Forecasting(forecaster, k, steps, seed)


def _check_model(config, dt: float, reading: SourceOptions) -> None:
    """Raises ValueError where forecasts and what was observed would not be of the same steps, or views."""
    if abs(dt / config.dt - 1) > _SAME_RATE:
        raise ValueError(
            f"--dt {dt:g}: the checkpoint forecasts steps of {config.dt:g} s; leave --dt out, or export without --checkpoint"
        )
    unknown = [view for view in reading.cameras if view not in config.views]
    if unknown:
        raise ValueError(
            f"--view {unknown[0]}: the checkpoint's views are {', '.join(config.views)}; call each camera as one of these"
        )


def _default_grid(grid: tuple[int, int]) -> tuple[int, int]:
    """The most rows and columns, up to sixteen, that divide a model's."""
    return tuple(max(points for points in range(1, 17) if side % points == 0) for side in grid)


def _whole_rate(dt: float | None, listed: list[tuple[Source, list[str]]]) -> int:
    """Frames a second of the dataset, a whole number in LeRobot's format.

    Raises:
        ValueError: where it is none, or the recordings have different ones and none is asked for.
    """
    if dt is not None:
        rate = 1 / dt
    else:
        rates = _rates(listed)
        rate = next(iter(rates), 20.0)
        other = next((fps for fps in rates if abs(fps / rate - 1) > _SAME_RATE), None)
        if other is not None:
            raise ValueError(
                f"{rates[rate]} has {rate:g} frames a second, {rates[other]} has {other:g}: a dataset has one rate; give --dt"
            )
    if round(rate) < 1 or abs(rate / round(rate) - 1) > _SAME_RATE:
        raise ValueError(
            f"{rate:g} frames a second: a LeRobot dataset has a whole number of them; give --dt, for example "
            f"{1 / max(1, int(rate)):.4g}"
        )
    return round(rate)


def _rates(listed: list[tuple[Source, list[str]]]) -> dict[float, Path]:
    """The rates of the recordings, each with one that has it. Broken demos are named when they are read."""
    rates: dict[float, Path] = {}
    for source, names in listed:
        for name in names[:1] if source.kind == BAG else names:
            try:
                rates.setdefault(source.outline(name).fps, source.place)
            except ValueError:
                continue
    return rates


def _as_the_first(values: Values, features: dict[str, dict]) -> Values:
    """Raises ValueError where an episode lacks what the first one has, or has it otherwise."""
    kept = {}
    for name, feature in features.items():
        if name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
            continue
        if name not in values:
            raise ValueError(f"it has no {name}, which the first episode has; export them by themselves")
        array = values[name]
        shape = feature["shape"] if isinstance(array, list) else list(array.shape[1:]) or [1]
        if shape != feature["shape"]:
            raise ValueError(f"its {name} is {shape}, that of the first episode {feature['shape']}")
        kept[name] = array
    return kept
