"""Which demos lie at the paths that a user gives, told apart by what the files hold."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from trajforecast_model.bags.places import bags_at
from trajforecast_model.data.sources.atm_hdf5 import atm_tasks
from trajforecast_model.data.sources.hdf5_demos import ENDS, header_of, opened
from trajforecast_model.data.sources.interface import BagOptions, Source, SourceOptions
from trajforecast_model.data.sources.lerobot.dataset import lerobot_tasks
from trajforecast_model.data.sources.lerobot.metadata import INFO_FILE
from trajforecast_model.data.sources.libero_hdf5 import LiberoFile, holds_libero
from trajforecast_model.data.sources.names import natural
from trajforecast_model.data.sources.orientation import check_orientation
from trajforecast_model.data.sources.physics.find import physics_sources
from trajforecast_model.data.sources.physics.physion import holds_frames
from trajforecast_model.data.sources.recordings import INSTRUCTION_FILE, RecordedTask, recorded_tasks
from trajforecast_model.data.sources.robomimic_hdf5 import RobomimicFile
from trajforecast_model.data.sources.trajloom.clips import StoredClips, archives_in, unzip, videos_of_clips
from trajforecast_model.files.paths import files_below

_NAMED = 5  # files in a message
KINDS = (
    f"*.hdf5 with data/demo_0 (LIBERO, robomimic) or root (ATM), {INFO_FILE} (LeRobot), {INSTRUCTION_FILE} (recordings), "
    "*.mcap or *.db3 (rosbag2), videos with npz files of tracks, Kubric's scenes, Physion's *.hdf5 or Physics101's videos"
)


def find_sources(paths: list[Path], options: SourceOptions | None = None) -> list[Source]:
    """The tasks at `paths`, in natural order of their names; a path is a file, or a folder that is searched.

    Raises:
        ValueError: for a path that does not exist, a folder without demos, or two sources of the same task.
    """
    options = options or SourceOptions()
    check_orientation(options.orientation)
    hdf5: list[Path] = []
    bags: list[Path] = []
    sources: list[Source] = []
    # Links keep their names: the hub's cache stores files under hashes, and a file's name is its task.
    for path in dict.fromkeys(Path(os.path.abspath(path)) for path in paths):
        bags += (found := bags_at(path))
        if path.is_file():
            if path.suffix.lower() == ".zip":
                raise unzip([path])
            if path.suffix not in ENDS and not found:
                raise ValueError(f"{path} is neither an HDF5 file nor a bag; give the folder it is in, with {KINDS}")
            sources += (moving := physics_sources(path, options))
            hdf5 += [path] if not found and not moving else []
        elif path.is_dir():
            files = [file for file in files_below(path) if file.suffix in ENDS and not holds_frames(file)]
            inside = [file for file in files if _holds_demos(file)]
            datasets = _folders_with(INFO_FILE, path)
            recordings = recorded_tasks(path)
            clips, without_tracks = videos_of_clips(path)
            moving = physics_sources(path, options)
            if not any((inside, datasets, recordings, found, clips, moving)):
                if archives := archives_in(path):
                    raise unzip(archives)
                raise ValueError(f"{path} has no demos: no {KINDS}")
            if others := [file.name for file in files if file not in inside]:
                print(f"{path}: left out, since they hold no demos: {', '.join(others)}", file=sys.stderr)
            hdf5 += inside
            sources += [task for place in datasets for task in lerobot_tasks(place, options)]
            sources += [RecordedTask.open(place, options) for place in recordings]
            sources += moving
            if clips:
                sources.append(StoredClips.open(path, options))
                if without_tracks:
                    names = ", ".join(video.name for video in without_tracks[:_NAMED])
                    more = f" and {len(without_tracks) - _NAMED} more" if len(without_tracks) > _NAMED else ""
                    print(f"{path}: left out, since no tracks lie beside them: {names}{more}", file=sys.stderr)
        else:
            raise ValueError(f"{path} does not exist; expected a file or folder of demos: {KINDS}")
    sources += _hdf5_sources(dict.fromkeys(hdf5), options)
    sources += _bag_sources(list(dict.fromkeys(bags)), options)
    return sorted(_one_a_task(sources), key=lambda source: natural(source.task))


def demos_of(sources: list[Source]) -> tuple[list[tuple[Source, list[str]]], list[str]]:
    """Each source with its demos, and what is wrong with those that cannot be opened.

    Raises:
        ValueError: where none can.
    """
    listed, broken = [], []
    for source in sources:
        try:
            listed.append((source, source.names()))
        except ValueError as error:
            broken.append(str(error))
    if not listed:
        raise ValueError("; ".join(broken))
    return listed, broken


def is_all_bags(paths: list[Path]) -> bool:
    """Whether bags lie at each path: those hold no simulator states, which exact labels need."""
    return all(bags_at(Path(path)) for path in paths)


def _bag_sources(bags: list[Path], options: SourceOptions) -> list[Source]:
    if bags:
        from trajforecast_model.data.sources.bags.tasks import bag_tasks  # takes rosbags

        return bag_tasks(bags, options)
    if options.bags != BagOptions():
        raise ValueError(
            "--stamps, --max-age, --instruction-topic and --episodes-topic are for bags, and none was found"
        )
    return []


def _hdf5_sources(files: Iterable[Path], options: SourceOptions) -> list[Source]:
    atm = [file for file in files if _is_atm(file)]
    others = [_demos_file(file, options) for file in files if file not in atm]
    return [*others, *atm_tasks(atm, options)] if atm else others


def _demos_file(file: Path, options: SourceOptions) -> Source:
    kind = LiberoFile if holds_libero(header_of(file)) else RobomimicFile
    return kind.open(file, options)


def _is_atm(file: Path) -> bool:
    """By what it holds or, where it cannot be read, by its name."""
    try:
        with opened(file) as hdf5:
            return "root" in hdf5
    except ValueError:
        return file.name.startswith("demo_")


def _one_a_task(sources: list[Source]) -> Iterable[Source]:
    by_task: dict[str, Source] = {}
    for source in sources:
        other = by_task.setdefault(source.task, source)
        if other.place.resolve() != source.place.resolve():
            raise ValueError(
                f"{other.place} and {source.place} hold the same task, {source.task}; prepare them into different folders"
            )
    return by_task.values()


def _folders_with(file: Path, inside: Path) -> list[Path]:
    depth = len(file.parts)
    return sorted(found.parents[depth - 1] for found in files_below(inside) if found.parts[-depth:] == file.parts)


def _holds_demos(file: Path) -> bool:
    """By what it holds or, where it cannot be read, by its name."""
    try:
        with opened(file) as hdf5:
            return "root" in hdf5 or "data" in hdf5
    except ValueError:
        return file.stem.endswith("_demo") or file.name.startswith("demo_")
