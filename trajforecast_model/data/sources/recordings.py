"""Plain recordings: a folder a task, with a text file of the instruction and, for each view, a video or a folder of
pictures an episode.

    put_the_cup_on_the_plate/
        instruction.txt                      one line, as one would tell the robot
        side/0.mp4  side/1.mp4               or  side/0/000.png  side/0/001.png ...
        effector/0.mp4  effector/1.mp4       the same episodes by the same names
"""

from dataclasses import dataclass
from pathlib import Path

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.frame_times import in_step, note_on_times
from trajforecast_model.data.sources.interface import SPEAK, Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.names import natural
from trajforecast_model.data.sources.orientation import GIVEN, upright
from trajforecast_model.data.sources.pictures import (
    PICTURE_ENDS,
    VIDEO_ENDS,
    decode_picture,
    read_video,
    video_length_and_fps,
)
from trajforecast_model.files.paths import files_below

INSTRUCTION_FILE = "instruction.txt"


@dataclass(frozen=True)
class RecordedTask:
    """The episodes of a task in a folder of one's own."""

    place: Path
    orientation: str
    cameras: dict[str, str]  # folder by view
    fps: float | None
    image_size: tuple[int, int]
    because: str
    spoken: str  # the words where the text file is empty
    kind: str = "recordings"
    replayable: bool = False

    @classmethod
    def open(cls, place: Path, options: SourceOptions) -> "RecordedTask":
        cameras = {view: camera or view for view, camera in options.cameras.items()}
        orientation, because = (
            options.orientation or "upright",
            GIVEN if options.orientation else "as cameras give them",
        )
        return cls(place, orientation, cameras, options.fps, options.image_size, because, options.instruction)

    @property
    def task(self) -> str:
        return self.place.name

    def names(self) -> list[str]:
        names: set[str] = set()
        for view, camera in self.cameras.items():
            folder = self.place / camera
            if not folder.is_dir():
                raise ValueError(
                    f"{self.place} has no folder {camera} of the view {view}; name the folder with --view {view}=FOLDER, "
                    "or only the views there are with --view VIEW"
                )
            names |= {_episode_name(path) for path in folder.iterdir() if _is_episode(path)}
        if not names:
            raise ValueError(f"{self.place} has no videos or folders of pictures in {', '.join(self.cameras.values())}")
        return sorted(names, key=natural)

    def instruction(self, name: str) -> str:
        file = self.place / INSTRUCTION_FILE
        try:
            return " ".join(file.read_text().split()) or self.spoken
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} is not text: {error}") from error

    def outline(self, name: str) -> Outline:
        return Outline(
            *in_step({view: self._length_and_fps(view, name) for view in self.cameras}, f"{self.place}: {name}")
        )

    def read(self, name: str) -> Demo:
        instruction, outline = self.instruction(name), self.outline(name)
        if not instruction:
            raise ValueError(f"{self.place / INSTRUCTION_FILE} is empty; {SPEAK}")
        notes: list[str] = []
        images = {view: self._frames(view, name, notes) for view in self.cameras}
        length = min(len(frames) for frames in images.values())
        if length < 2:
            raise ValueError(f"{self.place}: {name} has {length} frames, 2 or more are needed")
        return Demo(
            task=self.task,
            name=name,
            instruction=instruction,
            num_frames=length,
            fps=outline.fps,
            images={
                view: {number: upright(frame, self.orientation) for number, frame in enumerate(frames[:length])}
                for view, frames in images.items()
            },
            notes=tuple(notes),
        )

    def fingerprint(self, name: str) -> str:
        """From the names and sizes of videos and pictures."""
        files = [file for view in self.cameras for file in self._files(view, name)]
        return digest_of(*(f"{file.parent.name}/{file.name} {file.stat().st_size}" for file in files))

    def _files(self, view: str, name: str) -> list[Path]:
        """The one video, or the pictures in natural order; none where the episode lacks this view."""
        folder = self.place / self.cameras[view]
        videos = [path for path in folder.iterdir() if path.stem == name and path.suffix.lower() in VIDEO_ENDS]
        return sorted(videos)[:1] or _pictures(folder / name)

    def _length_and_fps(self, view: str, name: str) -> tuple[int, float]:
        files = self._files(view, name)
        if not files:
            raise ValueError(f"{self.place}: {name} has nothing to show in {self.cameras[view]}")
        if files[0].suffix.lower() in PICTURE_ENDS:
            if self.fps is None:
                raise ValueError(f"{self.place}: pictures do not tell their rate; give --fps")
            decode_picture(files[0].read_bytes(), str(files[0]), self.image_size)  # says early where it is a depth map
            return len(files), self.fps
        length, fps = video_length_and_fps(files[0])
        if self.fps is None and not fps > 0:
            raise ValueError(f"{files[0]} does not tell its rate; give --fps")
        return length, self.fps or fps

    def _frames(self, view: str, name: str, notes: list[str]) -> list:
        files = self._files(view, name)
        if files[0].suffix.lower() not in VIDEO_ENDS:
            return [decode_picture(file.read_bytes(), str(file), self.image_size) for file in files]
        video = read_video(files[0], self.image_size)
        if self.fps is None and video.times.any():  # of some containers they are not told
            _, fps = video_length_and_fps(files[0])
            notes += filter(None, [note_on_times(video.times, fps, str(files[0]))])
        return video.frames


def recorded_tasks(folder: Path) -> list[Path]:
    """The task folders in `folder`, itself included."""
    places = (file.parent for file in files_below(folder) if file.name == INSTRUCTION_FILE)
    return sorted(places, key=lambda place: natural(place.as_posix()))


def _episode_name(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def _is_episode(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in VIDEO_ENDS if path.is_file() else bool(_pictures(path))


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [file for file in folder.iterdir() if file.suffix.lower() in PICTURE_ENDS and file.name[0] != "."]
    return sorted(found, key=lambda file: natural(file.name))
