"""TrajLoom's data sets: videos with the tracks of a grid of their first frame beside them, and captions.

    clips/
        000017.mp4  000017.npz       its tracks, see tracks_file.py
        captions.csv                 videoid (or video_path) and text

Unpacked from the hub's archives, kubric_video/ and kubric_alltracker_s32/ may also stand beside each other.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from trajforecast_model.data.demo import Demo, PointTracks
from trajforecast_model.data.sources.interface import SPEAK, Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.names import natural
from trajforecast_model.data.sources.orientation import GIVEN
from trajforecast_model.data.sources.pictures import VIDEO_ENDS, read_video, video_length_and_fps, video_size
from trajforecast_model.data.sources.recordings import INSTRUCTION_FILE
from trajforecast_model.data.sources.trajloom.captions import captions_in, captions_of
from trajforecast_model.data.sources.trajloom.tracks_file import read_tracks
from trajforecast_model.data.windows import WindowLayout
from trajforecast_model.files.paths import files_below
from trajforecast_model.tracks.grid import rescale

IMAGE_SIZE = (480, 832)
LAYOUT = WindowLayout(num_frames=81, grid=(15, 26), history=81, anchor="first")
ARCHIVE = re.compile(r"(kubric|robotap|kinetics|magicdata)_(alltracker_s32|video)\.zip", re.IGNORECASE)
_OF_VIDEOS, _OF_TRACKS = "_video", "_alltracker_s32"  # ends of the folders' names


@dataclass(frozen=True)
class StoredClips:
    """The videos of a folder that have tracks. One view, one task; every video has its own words."""

    place: Path
    view: str
    fps: float | None
    image_size: tuple[int, int]
    grid: tuple[int, int]
    captions: Path | None
    spoken: str  # the words of videos without a caption
    because: str
    kind: str = "videos with stored tracks"
    orientation: str = "upright"
    replayable: bool = False

    @classmethod
    def open(cls, place: Path, options: SourceOptions) -> "StoredClips":
        if len(options.cameras) != 1:
            raise ValueError(f"{place}: its videos are of one view; name it, for example --view side")
        if options.orientation not in (None, "upright"):
            raise ValueError(
                f"--orientation {options.orientation}: the tracks in {place} are of upright videos; leave it out"
            )
        captions = options.captions or captions_in(place)
        if captions is not None:
            captions_of(captions)
        because = GIVEN if options.orientation else "as their tracks have them"
        return cls(
            place, *options.cameras, options.fps, options.image_size, options.grid, captions, options.instruction, because,
        )  # fmt: skip

    @property
    def task(self) -> str:
        return self.place.name

    def names(self) -> list[str]:
        videos, _ = videos_of_clips(self.place)
        return sorted({video.relative_to(self.place).with_suffix("").as_posix() for video in videos}, key=natural)

    def instruction(self, name: str) -> str:
        captions = {} if self.captions is None else captions_of(self.captions)
        return captions.get(Path(name).name) or captions.get(name) or self.spoken

    def outline(self, name: str) -> Outline:
        video, _ = self._files(name)
        length, fps = video_length_and_fps(video)
        if self.fps is None and not fps > 0:
            raise ValueError(f"{video} does not tell its rate; give --fps")
        if length:
            self._tracks(name, length, slack=1)  # containers often count a frame more than there is
        return Outline(length, self.fps or fps)

    def read(self, name: str) -> Demo:
        instruction, outline = self.instruction(name), self.outline(name)
        if not instruction:
            raise ValueError(f"{self.place}: {name} has no caption; {SPEAK}")
        video, _ = self._files(name)
        frames = read_video(video, self.image_size).frames
        return Demo(
            task=self.task,
            name=name,
            instruction=instruction,
            num_frames=len(frames),
            fps=outline.fps,
            images={self.view: dict(enumerate(frames))},
            tracks={self.view: self._tracks(name, len(frames))},
        )

    def fingerprint(self, name: str) -> str:
        """From the names and sizes of both files."""
        return digest_of(*(f"{file.name} {file.stat().st_size}" for file in self._files(name)))

    def _tracks(self, name: str, frames: int, slack: int = 0) -> PointTracks:
        """In pixels of the images as they are read."""
        video, tracks = self._files(name)
        size = video_size(video)
        stored = read_tracks(tracks, self.grid, size, frames, slack)
        return PointTracks(rescale(stored.positions, size, self.image_size).astype("float32"), stored.visible)

    def _files(self, name: str) -> tuple[Path, Path]:
        """The video and its tracks."""
        for end in VIDEO_ENDS:
            for video in (self.place / f"{name}{end}", self.place / f"{name}{end.upper()}"):
                if video.is_file() and (tracks := _tracks_of(video, self.place)) is not None:
                    return video, tracks
        raise ValueError(f"{self.place}: {name} has no video with tracks any more")


def videos_of_clips(folder: Path) -> tuple[list[Path], list[Path]]:
    """The videos in a folder that have tracks, and those that have none; recordings of one's own are not among them."""
    files = list(files_below(folder))
    if not any(file.suffix.lower() == ".npz" for file in files):
        return [], []
    recordings = {file.parent for file in files if file.name == INSTRUCTION_FILE}
    videos = [file for file in files if file.suffix.lower() in VIDEO_ENDS and recordings.isdisjoint(file.parents)]
    tracked = {video: _tracks_of(video, folder) is not None for video in videos}
    return [video for video in videos if tracked[video]], [video for video in videos if not tracked[video]]


def archives_in(folder: Path) -> list[Path]:
    """The hub's archives of such videos and tracks."""
    return sorted(file for file in folder.glob("*.zip") if ARCHIVE.fullmatch(file.name))


def unzip(archives: list[Path]) -> ValueError:
    """The error of archives that were given as they came from the hub."""
    return ValueError(
        f"{', '.join(str(file) for file in archives)}: archives are not read; unzip the videos (NAME{_OF_VIDEOS}.zip) and "
        f"their tracks (NAME{_OF_TRACKS}.zip) into one folder, or into NAME{_OF_VIDEOS}/ and NAME{_OF_TRACKS}/ of one, and "
        "give that"
    )


def _tracks_of(video: Path, folder: Path) -> Path | None:
    """The file of its tracks: beside it, or in the folder of tracks that stands for the folder of videos."""
    parts = (
        part.removesuffix(_OF_VIDEOS) + _OF_TRACKS if part.endswith(_OF_VIDEOS) else part
        for part in video.relative_to(folder).parts
    )
    for place in (video, folder.joinpath(*parts)):
        for file in (place.with_suffix(".npz"), place.with_name(f"{place.name}.npz")):
            if file.is_file():
                return file
    return None
