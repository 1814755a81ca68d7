"""Physics101's trials: a folder each, with a video of each camera.

    phys101/scenarios/
        ramp/<object>/<trial>/Camera_1.mp4  Camera_2.mp4  Kinect_RGB_1.mp4  Kinect_FullDepth_1.mp4 ...
        spring/ ...

The folder below `scenarios` is the task, or else the one that is given. Source: http://phys101.csail.mit.edu, and loaders of others.
"""

from dataclasses import dataclass
from pathlib import Path

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.frame_times import in_step
from trajforecast_model.data.sources.interface import Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.orientation import GIVEN, upright
from trajforecast_model.data.sources.physics.trials import Trials
from trajforecast_model.data.sources.pictures import VIDEO_ENDS, read_video, video_length_and_fps
from trajforecast_model.files.paths import files_below

SCENARIOS = "scenarios"
USUAL = "Camera_1"
_CAMERAS = ("Camera_", "Kinect_RGB_")


@dataclass(frozen=True, kw_only=True)
class Physics101Trials(Trials):
    """The trials of a scenario."""

    cameras: dict[str, str]  # a video's name without its end, by view
    fps: float | None
    because: str = "as cameras give them"
    kind: str = "Physics101 trials"

    @classmethod
    def open(cls, place: Path, options: SourceOptions, only: tuple[str, ...] = ()) -> "Physics101Trials":
        """Raises ValueError where several views have no camera of their own."""
        if len(options.cameras) > 1 and None in options.cameras.values():
            raise ValueError(
                f"{place}: which cameras are the views {', '.join(options.cameras)}? Give --view camera, which is {USUAL}, or "
                "--view kinect=Kinect_RGB_1"
            )
        cameras = {view: camera or USUAL for view, camera in options.cameras.items()}
        return cls(
            place=place,
            cameras=cameras,
            fps=options.fps,
            image_size=options.image_size,
            spoken=options.instruction,
            only=only,
            orientation=options.orientation or cls.orientation,
            because=GIVEN if options.orientation else cls.because,
        )

    def _found(self) -> set[str]:
        return {video.parent.relative_to(self.place).as_posix() for video in videos_of_trials(self.place)}

    def outline(self, name: str) -> Outline:
        told = {view: video_length_and_fps(self._video(name, view)) for view in self.cameras}
        if self.fps is not None:
            told = {view: (length, self.fps) for view, (length, _) in told.items()}
        elif silent := [view for view, (_, fps) in told.items() if not fps > 0]:
            raise ValueError(f"{self._video(name, silent[0])} does not tell its rate; give --fps")
        return Outline(*in_step(told, f"{self.place}: {name}"))

    def read(self, name: str) -> Demo:
        outline = self.outline(name)
        videos = {view: read_video(self._video(name, view), self.image_size).frames for view in self.cameras}
        length = min(map(len, videos.values()))
        images = {
            view: {number: upright(frame, self.orientation) for number, frame in enumerate(frames[:length])}
            for view, frames in videos.items()
        }
        return Demo(self.task, name, self.spoken, length, outline.fps, images)

    def fingerprint(self, name: str) -> str:
        """From the videos' names and sizes."""
        videos = [self._video(name, view) for view in self.cameras]
        return digest_of(*(f"{video.name} {video.stat().st_size}" for video in videos))

    def _video(self, name: str, view: str) -> Path:
        there = {file.stem: file for file in (self.place / name).iterdir() if file.suffix.lower() in VIDEO_ENDS}
        camera = self.cameras[view]
        if camera not in there:
            raise ValueError(
                f"{self.place}: {name} has no video {camera}; it has {', '.join(sorted(there)) or 'none'}: give --view {view}=VIDEO"
            )
        return there[camera]


def videos_of_trials(folder: Path) -> list[Path]:
    """The videos in a folder that are called as Physics101's cameras."""
    return [
        file for file in files_below(folder) if file.suffix.lower() in VIDEO_ENDS and file.stem.startswith(_CAMERAS)
    ]  # fmt: skip


def scenarios_in(folder: Path) -> list[Path]:
    """The folders of scenarios in a folder; where no folder is called `scenarios`, the folder itself."""
    found = set()
    for video in videos_of_trials(folder):
        places = (video.parent, *video.parent.parents)
        found.add(next((place for place in places if place.parent.name == SCENARIOS), folder))
    return sorted(found)
