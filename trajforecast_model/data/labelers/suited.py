"""Whether a labeler suits what there is to label, told before the work begins."""

from trajforecast_model.data.labelers.kinds import EXACT, LUCAS_KANADE, STORED
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.data.sources.interface import Source
from trajforecast_model.data.sources.physics.kubric import KubricScenes
from trajforecast_model.data.sources.robomimic_hdf5 import REPLAYED
from trajforecast_model.data.sources.trajloom.clips import StoredClips
from trajforecast_model.sim.cameras import VIEW_DATASETS


def usual_labeler(sources: list[Source]) -> str:
    """What labels demos where nothing else is asked for: the truth, unless none of them can be replayed."""
    exact = any(source.replayable or isinstance(source, KubricScenes) for source in sources)
    return EXACT if exact else LUCAS_KANADE


def check_suited(sources: list[Source], info: DatasetInfo, cameras: dict[str, str | None]) -> None:
    """Raises ValueError, in the words of the command line, where the labeler cannot label what the sources hold.

    Args:
        cameras: the source's own name for the camera of each view, None where none was given.
    """
    if info.labeler == STORED:
        _check_stored(sources, info)
    if info.labeler != EXACT or all(isinstance(source, KubricScenes) for source in sources):
        return
    unknown = [view for view in info.views if view not in VIEW_DATASETS]
    if unknown:
        raise ValueError(f"--view {unknown[0]}: --labeler exact knows the views {', '.join(VIEW_DATASETS)}")
    for view, camera in cameras.items():
        names = {VIEW_DATASETS[view], REPLAYED[view]}
        if camera is not None and camera not in names | {name.rpartition("_")[0] for name in names}:
            raise ValueError(
                f"--view {view}={camera}: --labeler exact replays the camera of {VIEW_DATASETS[view]}, whatever the images "
                "are of; leave the name out, or use a point tracker"
            )
    for source in sources:
        if not (source.replayable or isinstance(source, KubricScenes)):
            raise ValueError(
                f"{source.place}: {source.kind} holds no simulator states, which --labeler exact replays as "
                "LIBERO's cameras see them; use a point "
                "tracker, for example --labeler lucas_kanade, which needs nothing else"
            )


def _check_stored(sources: list[Source], info: DatasetInfo) -> None:
    if info.stride != 1:
        raise ValueError(f"--stride {info.stride}: --labeler stored makes one window of each video; leave it out")
    if info.anchor != "first":
        raise ValueError(
            f"--anchor {info.anchor}: stored tracks begin in the first frame of their video, at the corners of cells; "
            "leave it out"
        )
    for source in sources:
        if not isinstance(source, StoredClips):
            raise ValueError(
                f"{source.place}: {source.kind} hold no tracks, which --labeler stored takes from a file <video>.npz "
                "beside each video; use a point tracker, for example --labeler lucas_kanade"
            )
