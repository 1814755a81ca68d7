"""Which of the data sets in which things move by themselves lie at a path, and the geometry that each is used with."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trajforecast_model.data.sources.hdf5_demos import ENDS
from trajforecast_model.data.sources.interface import Source, SourceOptions
from trajforecast_model.data.sources.physics.kubric import KubricScenes, is_scene, scenes_in
from trajforecast_model.data.sources.physics.physics101 import Physics101Trials, scenarios_in
from trajforecast_model.data.sources.physics.physion import PhysionTrials, holds_frames
from trajforecast_model.data.windows import WindowLayout
from trajforecast_model.files.paths import files_below


@dataclass(frozen=True)
class Usual:
    """WHN's geometry of a data set."""

    labeler: str
    image_size: tuple[int, int]
    layout: WindowLayout
    dt: float
    view: str = "camera"


_USUAL = {
    KubricScenes: Usual("exact", (256, 256), WindowLayout(24, (32, 32)), 1 / 12),
    PhysionTrials: Usual("lucas_kanade", (256, 256), WindowLayout(30, (32, 32)), 1 / 30),
    Physics101Trials: Usual("lucas_kanade", (256, 464), WindowLayout(30, (32, 58)), 1 / 30),
}


def usual_of(paths: Iterable[Path]) -> Usual | None:
    """The geometry of the one data set that lies at all of the paths; None where there is none, or other demos too."""
    kinds = {kind for path in paths for kind, _, _ in _at(Path(path)) or [(None, None, ())]}
    return _USUAL.get(kinds.pop()) if len(kinds) == 1 else None


def physics_sources(path: Path, options: SourceOptions) -> list[Source]:
    """The tasks of such data sets in a folder or file."""
    return [kind.open(place, options, only) for kind, place, only in _at(path)]


def _at(path: Path) -> list[tuple[type, Path, tuple[str, ...]]]:
    """Kind, place, and the names of demos where these are named one by one."""
    if path.is_file():
        return [(PhysionTrials, path.parent, (path.name,))] if path.suffix in ENDS and holds_frames(path) else []
    if not path.is_dir():
        return []
    if is_scene(path):
        return [(KubricScenes, path.parent, (path.name,))]
    found = [(KubricScenes, path, ())] if scenes_in(path) else []
    trials = sorted({file.parent for file in files_below(path) if file.suffix in ENDS and holds_frames(file)})
    found += [(PhysionTrials, place, ()) for place in trials]
    return found + [(Physics101Trials, place, ()) for place in scenarios_in(path)]
