"""Short videos of simulated demos whose tracks are known exactly: what trackers are measured on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.exact import ExactLabeler
from trajforecast_model.data.shards import DatasetInfo

CLIPS = DatasetInfo(labeler="exact", stride=1)  # what trackers are measured on


@dataclass(frozen=True)
class Clip:
    """A window of one view, with the images of all of its frames."""

    view: str
    video: np.ndarray  # uint8 [T, h, w, 3]
    tracks: np.ndarray  # float32 [T, P, 2], pixels of the video
    visible: np.ndarray  # bool [T, P]


def clips_of_demo(demo: Demo, labeler: ExactLabeler, count: int) -> Iterator[Clip]:
    """`count` whole windows of each view, evenly spread over the demo; all of them where it has fewer.

    Raises:
        ValueError: if the demo cannot be labelled or has no whole window.
    """
    info = CLIPS
    length = info.num_frames + 1  # the last frame of a demo begins no window, so its image would be missing
    # LIBERO's files hold no image of frame 0, and one that is rendered now may look different from the recorded ones.
    starts = range(1, demo.num_frames - length + 1)
    if not starts:
        raise ValueError(f"has {demo.num_frames} frames, fewer than the {length + 1} that a whole window needs")
    for index in np.linspace(0, len(starts) - 1, min(count, len(starts))).round().astype(int):
        yield from _clips(_excerpt(demo, starts[index], length), labeler, info)


def _excerpt(demo: Demo, first: int, length: int) -> Demo:
    frames = range(first, first + length)
    return replace(
        demo,
        num_frames=length,
        states=None if demo.states is None else demo.states[first : first + length],
        images={
            view: {frame - first: recorded[frame] for frame in frames if frame in recorded}
            for view, recorded in demo.images.items()
        },
    )


def _clips(excerpt: Demo, labeler: ExactLabeler, info: DatasetInfo) -> Iterator[Clip]:
    # A window has the image of its first frame alone; with a window at every frame, all images are there.
    windows = {(window.view, window.start): window for window in labeler.label(excerpt, info)}
    for view in info.views:
        first = windows[view, 0]
        yield Clip(
            view=view,
            video=np.stack([windows[view, frame].image for frame in range(info.num_frames)]),
            tracks=first.tracks.reshape(info.num_frames, -1, 2),
            visible=first.visibility.reshape(info.num_frames, -1),
        )
