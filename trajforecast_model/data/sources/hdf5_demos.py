"""HDF5 files of the layout that robosuite's children share: `data/demo_<i>/{states,obs/<camera>}`, and attributes.

Which of them wrote a file shows in what it holds: LIBERO calls its images *_rgb and its attributes problem_info,
bddl_file_name; robomimic, MimicGen and robocasa call theirs *_image and env_args, ep_meta.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from trajforecast_model.data.demo import ACTION, Demo
from trajforecast_model.data.sources.interface import Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.names import natural
from trajforecast_model.data.sources.orientation import upright

FPS = 20.0
ENDS = (".hdf5", ".h5")
# What h5py raises at parts that are damaged, or of another kind than expected.
_DAMAGE = (OSError, RuntimeError, IndexError, TypeError, AttributeError)


@dataclass(frozen=True)
class Hdf5Header:
    """What a file says of itself, and the images of its first demo by name; all empty where it cannot be read."""

    attributes: dict[str, Any] = field(default_factory=dict)
    env_args: dict = field(default_factory=dict)
    episode: dict = field(default_factory=dict)  # the first demo's ep_meta
    pictures: tuple[str, ...] = ()

    @property
    def is_of_libero(self) -> bool:
        name = text(self.env_args.get("env_name", ""))
        return (
            bool({"problem_info", "bddl_file_name"} & self.attributes.keys())
            or text(self.attributes.get("tag", "")).startswith("libero")
            or bool({"bddl_file", "problem_name"} & self.env_args.keys())
            or name.lower().startswith("libero")
        )

    @property
    def fps(self) -> float:
        """The rate at which the robot was controlled, which is that of the frames."""
        rate = _object(self.env_args.get("env_kwargs")).get("control_freq")
        return float(rate) if isinstance(rate, (int, float)) and rate > 0 else FPS


@dataclass(frozen=True)
class Hdf5Demos:
    """The demos of a task, in one HDF5 file. Its children say what belongs to which frame, and where words are."""

    place: Path
    orientation: str
    because: str
    datasets: dict[str, str]  # by view, of data/demo_<i>/obs
    fps: float = FPS
    spoken: str = ""  # the words where the file has none

    def names(self) -> list[str]:
        with opened(self.place) as hdf5:
            try:
                data = hdf5.get("data")
                inside = data if isinstance(data, h5py.Group) else ()
                names = sorted((name for name in inside if name.startswith("demo_")), key=natural)
            except (OSError, RuntimeError) as error:
                raise ValueError(f"{self.place} is damaged: {error}") from error
        if not names:
            raise ValueError(f"{self.place} has no demos (no group data/demo_0)")
        return names

    def instruction(self, name: str) -> str:
        with self._group(name) as group:
            return words_of(group) or self.spoken or self._words_of_the_name()

    def outline(self, name: str) -> Outline:
        with self._group(name) as group:
            recorded = self._recorded(name, group)
            length = self._length(name, group, recorded)
            missing = tuple(view for view in self.datasets if view not in recorded)
            return Outline(length, self.fps, None if missing else self._first_image(group), missing)

    def read(self, name: str) -> Demo:
        where = f"{self.place}: {name}"
        instruction = self.instruction(name)
        with self._group(name) as group:
            recorded = self._recorded(name, group)
            length = self._length(name, group, recorded)
            states = group["states"][:] if "states" in group else None
            model_xml = group.attrs.get("model_file")
            stored = {view: images[:] for view, images in recorded.items()}
            first = self._first_image(group)
            actions = self._actions(group, length)
        if states is not None and not np.isfinite(states).all():
            raise ValueError(f"{where}: states are not all finite values")
        return Demo(
            task=self.task,
            name=name,
            instruction=instruction,
            num_frames=length,
            fps=self.fps,
            # Where the first frame has none, the last image shows a state that was not recorded.
            images={
                view: dict(enumerate(upright(images, self.orientation)[: length - first], first))
                for view, images in stored.items()
            },
            states=states,
            model_xml=None if model_xml is None else text(model_xml),
            numbers={} if actions is None else {ACTION: actions},
        )

    def fingerprint(self, name: str) -> str:
        """From the length and the last state, or else the last image."""
        with self._group(name) as group:
            recorded = group["states"] if "states" in group else group["obs"][next(iter(self.datasets.values()))]
            return digest_of(len(recorded), np.asarray(recorded[-1]).tobytes())

    def _first_image(self, group: h5py.Group) -> int:
        """The frame of which obs[0] is the image."""
        raise NotImplementedError

    def _words_of_the_name(self) -> str:
        raise NotImplementedError

    def _actions(self, group: h5py.Group, length: int) -> np.ndarray | None:
        """What the robot did at each frame, float32 [length, D], where that is told."""
        actions = group.get("actions")
        whole = isinstance(actions, h5py.Dataset) and actions.ndim == 2 and len(actions) == length
        return actions[:].astype(np.float32) if whole else None

    def _recorded(self, name: str, group: h5py.Group) -> dict[str, h5py.Dataset]:
        """The images that there are, by view."""
        obs = group.get("obs", {})
        return {view: obs[dataset] for view, dataset in self.datasets.items() if dataset in obs}

    def _length(self, name: str, group: h5py.Group, recorded: dict[str, h5py.Dataset]) -> int:
        """Raises ValueError where states and images are not of one length, or of no known shape."""
        where = f"{self.place}: {name}"
        states = group.get("states")
        if states is not None and (states.ndim != 2 or len(states) < 2):
            raise ValueError(f"{where}: states have shape {states.shape}, expected finite values, 2 frames or more")
        if states is None and not recorded:
            raise ValueError(
                f"{where} lacks both states and images (obs/{', obs/'.join(self.datasets.values())}); "
                + self._cameras_there(group)
            )
        length = len(states if states is not None else next(iter(recorded.values())))
        for view, images in recorded.items():
            whole = images.ndim == 4 and len(images) == length and images.shape[-1] == 3 and 0 not in images.shape
            if not whole or images.dtype != np.uint8:
                raise ValueError(
                    f"{where}: {self.datasets[view]} is {images.dtype} {images.shape}, expected uint8 "
                    f"({length}, height, width, 3)" + ("" if images.shape[-1:] != (1,) else ": is it a depth map?")
                )
        return length

    def _cameras_there(self, group: h5py.Group) -> str:
        there = ", ".join(_pictures(group))
        return f"it has the cameras {there}; name them with --view side=CAMERA" if there else "it has no images"

    @contextlib.contextmanager
    def _group(self, name: str) -> Iterator[h5py.Group]:
        with opened(self.place) as hdf5:
            try:
                group = hdf5["data"][name]
                if not isinstance(group, h5py.Group):
                    raise ValueError(f"{self.place}: {name} is no group of datasets")
                yield group
            except KeyError as error:
                raise ValueError(f"{self.place}: {name} lacks {error}") from error
            except _DAMAGE as error:
                raise ValueError(f"{self.place}: {name} is damaged: {error}") from error


def header_of(place: Path) -> Hdf5Header:
    with contextlib.suppress(*_DAMAGE, KeyError, ValueError), opened(place) as hdf5:
        data = hdf5["data"]
        demos = sorted((name for name in data if name.startswith("demo_")), key=natural)
        first = data[demos[0]] if demos else {}
        return Hdf5Header(
            dict(data.attrs),
            _environment(data.attrs),
            _object(first.attrs.get("ep_meta")) if demos else {},
            tuple(_pictures(first)) if demos else (),
        )
    return Hdf5Header()


def cameras_for(place: Path, options: SourceOptions, usual: dict[str, str], header: Hdf5Header) -> dict[str, str]:
    """The dataset of each view: the one that was named, with or without its end (`agentview`), or the kind's usual one.

    Raises:
        ValueError: for a view that has no usual camera, naming those there are, and for a name that is not among them.
    """
    cameras = {}
    for view, named in options.cameras.items():
        camera = _called(named, header.pictures) if named else usual.get(view)
        missing = camera is None or (named is not None and header.pictures and camera not in header.pictures)
        if missing:
            there = ", ".join(header.pictures) or "none that could be read"
            raise ValueError(
                f"--view {view}{'=' + named if named else ''}: which camera is it? {place} has {there}. Expected "
                f"--view {view}=CAMERA"
            )
        cameras[view] = camera
    return cameras


def _called(name: str, pictures: tuple[str, ...]) -> str:
    return next((whole for whole in (name, f"{name}_image", f"{name}_rgb") if whole in pictures), name)


def words_of(demo: h5py.Group) -> str:
    """What the attributes of a demo, or of its file, say that the robot is told."""
    file = demo.parent.attrs
    said = (
        demo.attrs.get("language_instruction"),  # futures of one beginning are not all told to do the file's task
        _object(demo.attrs.get("ep_meta")).get("lang"),
        demo.attrs.get("lang"),
        _object(file.get("problem_info")).get("language_instruction"),
        file.get("language_instruction"),
        _object(file.get("env_args")).get("lang"),
    )
    return next(filter(None, map(_words, said)), "")


@contextlib.contextmanager
def opened(file: Path) -> Iterator[h5py.File]:
    """An HDF5 file open for reading. Raises ValueError naming it where it is not readable as one."""
    try:
        hdf5 = h5py.File(file, "r")
    except OSError as error:
        raise ValueError(f"{file} is not a readable HDF5 file (empty or truncated?): {error}") from error
    with hdf5:
        yield hdf5


def text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _environment(attributes: Any) -> dict:
    """robomimic's env_args, or the like of those who write to robosuite's own habit."""
    stated = _object(attributes.get("env_args")) or _object(attributes.get("env_meta"))
    if stated or "env" not in attributes:
        return stated
    return {"env_name": text(attributes["env"]), "env_kwargs": _object(attributes.get("env_info"))}


def _words(said: Any) -> str:
    """LIBERO's own files hold a list of letters in places, or quotation marks."""
    if isinstance(said, (list, tuple)):
        said = "".join(map(str, said))
    return text(said).strip().strip('"').strip() if isinstance(said, (str, bytes)) else ""


def _object(value: Any) -> dict:
    """A JSON object in an attribute, {} where it is none."""
    if isinstance(value, (str, bytes)):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    return value if isinstance(value, dict) else {}


def _pictures(demo: h5py.Group) -> list[str]:
    obs = demo.get("obs", {})
    return [name for name in obs if isinstance(obs[name], h5py.Dataset) and obs[name].ndim == 4]
