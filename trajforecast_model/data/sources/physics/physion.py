"""Physion's trials, and others of tdw_physics: an HDF5 file each, with a group a frame.

    Dominoes/
        0000.hdf5       frames/0000/images/_img: the bytes of a JPEG or PNG file, uint8 [N]; newer ones _img_cam0, _img_cam1
        0001.hdf5

The rate is that of Physion's videos. Source: the repository alters-mit/tdw_physics.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from trajforecast_model.data.demo import Demo
from trajforecast_model.data.sources.hdf5_demos import ENDS, opened
from trajforecast_model.data.sources.interface import Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.orientation import GIVEN, upright
from trajforecast_model.data.sources.physics.trials import Trials
from trajforecast_model.data.sources.pictures import decode_picture
from trajforecast_model.images import resize_image

FPS = 30.0
_USUAL = ("_img", "_img_cam0")
_NO_COLOURS = ("_id", "_depth", "_normals", "_flow", "_mask", "_category", "_albedo")
_DAMAGE = (OSError, RuntimeError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class PhysionTrials(Trials):
    """The trials of a scenario: the files in a folder."""

    cameras: dict[str, str | None]  # the images' name by view, None for the usual one
    fps: float
    because: str = "as the simulator gives them"
    kind: str = "Physion trials"

    @classmethod
    def open(cls, place: Path, options: SourceOptions, only: tuple[str, ...] = ()) -> "PhysionTrials":
        """Raises ValueError where several views have no camera of their own, or one has no colours."""
        if len(options.cameras) > 1 and None in options.cameras.values():
            views = ", ".join(view for view, camera in options.cameras.items() if camera is None)
            raise ValueError(
                f"{place}: which cameras are the views {views}? Physion's have one, _img: give --view camera; of files with "
                "several give --view NAME=_img_cam0"
            )
        for view, camera in options.cameras.items():
            if camera is not None and camera.startswith(_NO_COLOURS):
                raise ValueError(
                    f"{place}: --view {view}={camera}: that is no colour picture; expected _img or _img_cam0"
                )
        return cls(
            place=place,
            cameras=dict(options.cameras),
            fps=options.fps or FPS,
            image_size=options.image_size,
            spoken=options.instruction,
            only=only,
            orientation=options.orientation or cls.orientation,
            because=GIVEN if options.orientation else cls.because,
        )

    def _found(self) -> set[str]:
        return {file.name for file in self.place.iterdir() if file.suffix in ENDS and holds_frames(file)}

    def outline(self, name: str) -> Outline:
        with self._frames(name) as frames:
            for view in self.cameras:
                self._image(frames, next(iter(frames)), view, name)
            return Outline(len(frames), self.fps)

    def read(self, name: str) -> Demo:
        with self._frames(name) as frames:
            images = {
                view: {
                    number: self._picture(self._image(frames, frame, view, name), f"{self.place / name}: frame {frame}")
                    for number, frame in enumerate(frames)
                }
                for view in self.cameras
            }
            length = len(frames)
        return Demo(self.task, name, self.spoken, length, self.fps, images)

    def fingerprint(self, name: str) -> str:
        """From the file's size and the number of frames."""
        with self._frames(name) as frames:
            return digest_of((self.place / name).stat().st_size, len(frames))

    def _picture(self, data: np.ndarray, where: str) -> np.ndarray:
        """The bytes of a picture's file, or the pixels themselves."""
        if data.ndim == 3 and data.shape[-1] == 3:
            picture = resize_image(data, self.image_size)
        else:
            picture = decode_picture(data.tobytes(), where, self.image_size)
        return upright(picture, self.orientation)

    def _image(self, frames: h5py.Group, frame: str, view: str, name: str) -> np.ndarray:
        where = f"{self.place / name}: frame {frame}"
        images = frames[frame].get("images")
        if not isinstance(images, h5py.Group):
            raise ValueError(f"{where} has no images")
        named = self.cameras[view]
        camera = named or next((usual for usual in _USUAL if usual in images), None)
        if camera is None or camera not in images:
            there = [other for other in images if not other.startswith(_NO_COLOURS)]
            raise ValueError(
                f"{where} has no image {camera or 'called ' + ' or '.join(_USUAL)}; it has {', '.join(there) or 'none'}: give "
                f"--view {view}=IMAGE"
            )
        data = images[camera][()]
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim not in (1, 3):
            raise ValueError(f"{where}: {camera} is neither the bytes of a picture nor pixels, uint8")
        return data

    @contextlib.contextmanager
    def _frames(self, name: str) -> Iterator[dict[str, h5py.Group]]:
        """The groups of frames by name, in order. Raises ValueError where they are damaged or not all there."""
        file = self.place / name
        with opened(file) as hdf5:
            try:
                group = hdf5["frames"]
                names = sorted((frame for frame in group if frame.isdigit()), key=int)
                numbers = [int(frame) for frame in names]
                if len(names) < 2 or numbers != list(range(numbers[0], numbers[0] + len(names))):
                    raise ValueError(
                        f"{file}: its {len(names)} frames are not numbered one after the other, two or more"
                    )
                yield {frame: group[frame] for frame in names}
            except _DAMAGE as error:
                raise ValueError(f"{file} is damaged: {error}") from error


def holds_frames(file: Path) -> bool:
    """Whether an HDF5 file is a trial's."""
    try:
        with opened(file) as hdf5:
            frames = hdf5.get("frames")
            return isinstance(frames, h5py.Group) and any(name.isdigit() for name in frames)
    except (ValueError, *_DAMAGE):
        return False
