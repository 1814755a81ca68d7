"""The verb `view`: forecasts, prepared windows or reports in, one HTML page out, or a recording for Rerun."""

from collections.abc import Sequence
from pathlib import Path

from trajforecast_model.evaluation.reports.comparison import compare
from trajforecast_model.evaluation.reports.names import distinct_names
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.outputs import ready_file
from trajforecast_model.verbs.prediction import given_files, read_files
from trajforecast_model.viewing.forecast_files import read_forecast, scene_of_forecasts
from trajforecast_model.viewing.page import page_of_scenes, page_of_tables
from trajforecast_model.viewing.scenes import Scene
from trajforecast_model.viewing.windows import scenes_of_windows


def view_files(
    sources: Sequence[Path],
    out: Path | None = None,
    *,
    images: Sequence[str] = (),
    blind: bool = False,
    checkpoints: Sequence[str] = (),
    split: str = "val",
    moments: int = 12,
    k: int = 8,
    device: str = "cpu",
    dtype: str = "float32",
    rerun: bool = False,
) -> Path:
    """Writes the page, or the recording, and returns where it is.

    Args:
        sources: forecasts (.npz), folders of forecasts with the same names in each, a prepared folder, or reports (.json).
        out: where; None is beside the first source.
        images: VIEW=FILE, for forecasts that came without their pictures.
        blind: two models' forecasts without names, to be judged.
        checkpoints, split, moments, k, device, dtype: of a prepared folder, see `scenes_of_windows`.
        rerun: write a recording for Rerun (.rrd) and no page.

    Raises:
        ValueError: for files that cannot be shown, or not together, saying which.
    """
    first = Path(sources[0])
    for source in sources:
        if not Path(source).exists():
            raise ValueError(f"{source} does not exist")
    reports = all(source.suffix == ".json" for source in sources)
    endings = (".rrd",) if rerun else (".html", ".htm")
    if out is not None and out.suffix.lower() not in endings:
        raise ValueError(f"out: got {out}, expected a file name that ends in {endings[0]}")
    out = ready_file(
        "out", first.with_name(f"{first.name if first.is_dir() else first.stem}{endings[0]}") if out is None else out
    )
    if rerun and blind:
        raise ValueError("blind: only a page asks which forecast is better; leave out --blind or --rerun")
    if rerun and not reports:
        from trajforecast_model.viewing.recording import write_recording  # rerun-sdk, which a page does not need
    prepared = [source for source in sources if (source / "dataset.json").is_file()]
    if prepared:
        if len(sources) > 1:
            raise ValueError(f"{prepared[0]} is prepared data, which is shown alone; give only that, or only forecasts")
        if images:
            raise ValueError("image: prepared data has its pictures; leave it out")
        scenes = scenes_of_windows(first, split, moments, list(checkpoints), k, device, dtype)
    elif checkpoints:
        raise ValueError(f"checkpoint: forecasts prepared data, which {first} is not: it has no dataset.json")
    elif reports:
        if wrong := [name for name, given in (("blind", blind), ("image", images), ("rerun", rerun)) if given]:
            raise ValueError(f"{wrong[0]}: reports have no forecasts to look at; leave it out")
        tables = [(table.title, table.header, table.rows) for table in compare(list(sources))]
        return _write(out, page_of_tables(_title(sources), tables))
    else:
        scenes = _scenes_of_forecasts(list(sources), list(images))
    models = {model for scene in scenes for view in scene.views for model in view.forecasts}
    if blind and len(models) != 2:
        raise ValueError(f"blind: got forecasts of {len(models)} model(s), expected two to choose between")
    if rerun:
        write_recording(out, _title(sources), scenes)
        print(f"wrote {out}: {out.stat().st_size / 1e6:.1f} MB; look at it with: rerun {out}")
        return out
    title = "Two forecasts of each moment" if blind else _title(sources)  # names would tell
    return _write(out, page_of_scenes(title, scenes, blind))


def _scenes_of_forecasts(sources: list[Path], image_arguments: list[str]) -> list[Scene]:
    """Of files, one moment; of folders, each name that all of them have."""
    models = distinct_names(sources, lambda path: path.name if path.is_dir() else path.stem)
    if len(set(models)) < len(models):
        raise ValueError(f"{sources[0]} is given more than once")
    if all(source.is_file() for source in sources):
        files = {"": dict(zip(models, sources, strict=True))}
    elif all(source.is_dir() for source in sources):
        names = [{path.name for path in source.glob("*.npz")} for source in sources]
        common = sorted(set.intersection(*names))
        if not common:
            what = (
                "no forecasts (.npz), and no dataset.json either" if len(sources) == 1 else "no forecasts of one name"
            )
            raise ValueError(f"{' and '.join(map(str, sources))}: {what}; give forecasts, prepared data or reports")
        files = {name: {m: source / name for m, source in zip(models, sources, strict=True)} for name in common}
    else:
        raise ValueError("got files and folders; give forecasts (.npz), or folders of forecasts")
    images = read_files(given_files(image_arguments, None, None), 0.0)[0] if image_arguments else {}
    return [
        scene_of_forecasts(
            name.removesuffix(".npz"), {model: read_forecast(path) for model, path in of_models.items()}, images
        )
        for name, of_models in files.items()
    ]


def _title(sources: Sequence[Path]) -> str:
    return " and ".join(source.resolve().name for source in sources)


def _write(out: Path, page: bytes) -> Path:
    write_atomically(out, page)
    print(f"wrote {out}: {len(page) / 1e6:.1f} MB, opens in a browser")
    return out
