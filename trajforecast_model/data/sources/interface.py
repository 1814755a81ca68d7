"""What a source is: the demos of one task in one place, of which each can be read."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trajforecast_model.data.demo import Demo

SPEAK = "give --instruction TEXT, as one would tell the robot what to do"


@dataclass(frozen=True)
class BagOptions:
    """How bags are read.

    stamps: "header", when a picture was taken, or "receive", when it was recorded. max_age: seconds that a picture may
    have been taken before its frame's moment; None for 0.1, or two frames where that is more. instruction_topic: what the
    robot is told. episodes_topic: whose messages end episodes.
    """

    stamps: str = "header"
    max_age: float | None = None
    instruction_topic: str | None = None
    episodes_topic: str | None = None


@dataclass(frozen=True)
class SourceOptions:
    """How recordings are to be read. None: as the kind of source has it by default.

    orientation: how the stored images stand, see orientation.py. fps: the true rate, where a recording names none or a
    wrong one. cameras: for each view of the dataset the source's own name of its camera. instruction: the words of
    recordings that have none of their own. dt: seconds between two frames, of recordings that have a time for each
    picture and no rate.
    """

    orientation: str | None = None
    fps: float | None = None
    cameras: dict[str, str | None] = field(default_factory=lambda: {"side": None, "effector": None})
    image_size: tuple[int, int] = (128, 128)  # height, width; long videos are kept at no more than they become
    instruction: str = ""
    grid: tuple[int, int] = (64, 64)  # rows, columns of points, where tracks are stored beside the videos
    captions: Path | None = None  # CSV file of what such videos show
    dt: float = 0.05
    bags: BagOptions = field(default_factory=BagOptions)


@dataclass(frozen=True)
class Outline:
    """What a dry run needs to know of a demo. first_image: the first frame with images, None where there are none."""

    num_frames: int
    fps: float
    first_image: int | None = 0
    views_without_images: tuple[str, ...] = ()


class Source(Protocol):
    """Demos of one task. Small and picklable: each worker process gets one with every job."""

    kind: str  # for people
    task: str
    place: Path
    orientation: str
    because: str  # what told the orientation
    replayable: bool  # whether demos of this kind have states and a scene, which exact labels need

    def names(self) -> list[str]:
        """The demos in natural order: demo_2 before demo_10. Raises ValueError if there are none or none is readable."""

    def instruction(self, name: str) -> str:
        """What the robot is told in a demo, "" where nothing says it; without reading the demo's images."""

    def outline(self, name: str) -> Outline:
        """Raises ValueError naming the demo, as far as its faults show without decoding it."""

    def read(self, name: str) -> Demo:
        """Reads a demo whole. Raises ValueError naming the place and the demo, where it is not as its kind should be."""

    def fingerprint(self, name: str) -> str:
        """Tells other demos of the same task and name apart, cheaply. Raises ValueError for a broken one."""


class NobodyIsTold:
    """Marks sources of things that move by themselves: their demos need no words."""


def digest_of(*parts: object) -> str:
    """A short hash for fingerprints."""
    return hashlib.sha256(
        b"|".join(part if isinstance(part, bytes) else str(part).encode() for part in parts)
    ).hexdigest()[:16]


def cameras_of(options: SourceOptions, usual: dict[str, str]) -> dict[str, str]:
    """The source's camera for each view: the one that was named, or the kind's usual one.

    Raises:
        ValueError: for a view that this kind of source has no usual camera for.
    """
    unknown = [view for view, camera in options.cameras.items() if camera is None and view not in usual]
    if unknown:
        raise ValueError(f"--view {unknown[0]}: which camera is it? Expected --view {unknown[0]}=CAMERA")
    return {view: camera or usual[view] for view, camera in options.cameras.items()}
