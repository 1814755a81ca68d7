"""Scenes as Kubric's workers write them, MOVi's among them: pictures, and all that tells where each point is.

    movi_a/
        0/  metadata.json            camera and instances over time
            rgba_00000.png ...       pictures
            depth_00000.tiff ...     float32, metres from the camera's centre to what a pixel shows
            segmentation_00000.png   palette: 0 the background, n the n-th of the instances
            data_ranges.json  events.json  object_coordinates_00000.png ...     not needed
        1/  ...

Instances and camera have a position and a quaternion (w, x, y, z) at each frame, body or camera to world; the camera looks
along its -z, y up, as MuJoCo's. Source: the repository google-research/kubric (challenges/movi, kubric/core/cameras.py,
challenges/point_tracking).
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from trajforecast_model.data.demo import Demo, SeenGeometry
from trajforecast_model.data.sources.interface import Outline, SourceOptions, digest_of
from trajforecast_model.data.sources.physics.trials import Trials
from trajforecast_model.data.sources.pictures import decode_picture
from trajforecast_model.files.json_files import read_object
from trajforecast_model.files.paths import files_below
from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses

METADATA = "metadata.json"
_BESIDE = ("rgba_00000.png", "depth_00000.tiff", "segmentation_00000.png")
_FARTHEST = 1e6  # metres; where nothing is, depth is endless


@dataclass(frozen=True, kw_only=True)
class KubricScenes(Trials):
    """The scenes in a folder, one task and one view."""

    view: str
    fps: float | None
    kind: str = "Kubric scenes"
    called: str = "Kubric scenes"
    because: str = "as Kubric renders them"

    @classmethod
    def open(cls, place: Path, options: SourceOptions, only: tuple[str, ...] = ()) -> "KubricScenes":
        """Raises ValueError for cameras and orientations that Kubric's scenes do not have."""
        if len(options.cameras) != 1:
            raise ValueError(f"{place}: Kubric's scenes have one camera; name its view, for example --view camera")
        ((view, camera),) = options.cameras.items()
        if camera is not None:
            raise ValueError(f"{place}: --view {view}={camera}: Kubric's scenes have one camera; give --view {view}")
        if options.orientation not in (None, "upright"):
            raise ValueError(
                f"{place}: --orientation {options.orientation}: Kubric's pictures are upright; leave it out"
            )
        return cls(
            place=place,
            view=view,
            fps=options.fps,
            image_size=options.image_size,
            spoken=options.instruction,
            only=only,
        )

    def _found(self) -> set[str]:
        return {scene.relative_to(self.place).as_posix() for scene in scenes_in(self.place)}

    def outline(self, name: str) -> Outline:
        scene = _Scene(self.place / name)
        scene.poses()
        return Outline(scene.num_frames, self.fps or scene.fps)

    def read(self, name: str) -> Demo:
        scene = _Scene(self.place / name)
        camera, bodies = scene.poses()
        frames = range(scene.num_frames)
        geometry = SeenGeometry(
            np.stack([scene.depth(frame, camera) for frame in frames]),
            np.stack([scene.body(frame, bodies) for frame in frames]),
            camera,
            bodies,
        )
        return Demo(
            task=self.task,
            name=name,
            instruction=self.spoken,
            num_frames=scene.num_frames,
            fps=self.fps or scene.fps,
            images={self.view: {frame: scene.picture(frame, self.image_size) for frame in frames}},
            geometry={self.view: geometry},
        )

    def fingerprint(self, name: str) -> str:
        """From what its metadata says."""
        return digest_of((self.place / name / METADATA).read_bytes())


def is_scene(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (METADATA, *_BESIDE))


def scenes_in(folder: Path) -> list[Path]:
    """The folders of scenes in a folder, itself included."""
    return [file.parent for file in files_below(folder) if file.name == METADATA and is_scene(file.parent)]


class _Scene:
    """One scene's folder. Raises ValueError naming the file that is not as it should be."""

    def __init__(self, folder: Path):
        self._folder = folder
        file = folder / METADATA
        told = read_object(file, "it should be as Kubric wrote it; render the scene again")
        try:
            about = told["metadata"]
            self.num_frames, self.fps = int(about["num_frames"]), float(about["frame_rate"])
            width, height = (int(side) for side in about["resolution"])
            self._camera, self._instances = told["camera"], told["instances"]
            self._focal = float(self._camera["focal_length"]) / float(self._camera["sensor_width"]) * width
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file} is not a perspective scene's metadata as Kubric writes it: {error!r}") from error
        self._size = height, width
        if self.num_frames < 2 or not self.fps > 0 or not self._focal > 0 or min(self._size) < 1:
            raise ValueError(
                f"{file}: {self.num_frames} frames of {width} x {height} pixels at {self.fps:g} a second, focal length "
                f"{self._focal:g} pixels; expected two frames or more"
            )

    def poses(self) -> tuple[CameraPoses, BodyPoses]:
        """The camera's, and those of the world, which is body 0, and the instances."""
        camera = CameraPoses(
            self._positions(self._camera, "the camera"), self._rotations(self._camera, "the camera"), self._focal, self._size
        )  # fmt: skip
        shifted = [abs(abs(self._intrinsic(axis)) - 0.5) > 1e-3 for axis in (0, 1)]
        if any(shifted):
            raise ValueError(
                f"{self._folder / METADATA}: its camera's principal point is not in the middle of the picture"
            )
        positions, rotations = [np.zeros((self.num_frames, 3))], [np.tile(np.eye(3), (self.num_frames, 1, 1))]
        for number, instance in enumerate(self._instances, 1):
            positions.append(self._positions(instance, f"instance {number}"))
            rotations.append(self._rotations(instance, f"instance {number}"))
        return camera, BodyPoses(np.stack(positions, axis=1), np.stack(rotations, axis=1))

    def picture(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        file = self._folder / f"rgba_{frame:05d}.png"
        return decode_picture(self._bytes(file), str(file), size)

    def depth(self, frame: int, camera: CameraPoses) -> np.ndarray:
        """Metres along the optical axis, float32 [h, w], of the distances from the camera's centre that are stored."""
        file = self._folder / f"depth_{frame:05d}.tiff"
        with contextlib.suppress(cv2.error):
            distance = cv2.imdecode(np.frombuffer(self._bytes(file), np.uint8), cv2.IMREAD_UNCHANGED)
            if distance is not None and distance.shape[:2] == self._size and distance.dtype in (np.float32, np.float64):
                distance = distance.reshape(*self._size, -1)[..., 0]
                height, width = self._size
                x = (np.arange(width) + 0.5 - width / 2) / camera.focal
                y = (np.arange(height) + 0.5 - height / 2) / camera.focal
                along = distance / np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2)
                return np.nan_to_num(along, nan=_FARTHEST, posinf=_FARTHEST).clip(0, _FARTHEST).astype(np.float32)
        raise ValueError(
            f"{file} is no depth map of {self._size[1]} x {self._size[0]} floating-point distances (truncated?)"
        )

    def body(self, frame: int, bodies: BodyPoses) -> np.ndarray:
        """Which body each pixel shows, uint8 [h, w]."""
        file = self._folder / f"segmentation_{frame:05d}.png"
        try:
            with Image.open(file) as picture:
                if picture.mode not in ("P", "L"):
                    raise ValueError(f"{file} has colours ({picture.mode}) in place of numbers; expected a palette")
                numbers = np.asarray(picture)
        except (OSError, SyntaxError, UnidentifiedImageError) as error:
            raise ValueError(f"{file} cannot be read ({error})") from error
        known = bodies.positions.shape[1]
        if numbers.shape != self._size or numbers.max() >= known:
            raise ValueError(
                f"{file} has {numbers.shape[1]} x {numbers.shape[0]} pixels and numbers up to {numbers.max()}; "
                f"{METADATA} tells of {self._size[1]} x {self._size[0]} pixels and {known - 1} instances"
            )
        return numbers

    def _bytes(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as error:
            raise ValueError(
                f"{file} cannot be read ({error.strerror}); {METADATA} tells of {self.num_frames} frames"
            ) from error

    def _intrinsic(self, axis: int) -> float:
        """The principal point, in shares of the picture."""
        try:
            return float(self._camera["K"][axis][2]) if "K" in self._camera else 0.5
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise ValueError(f"{self._folder / METADATA}: the camera's K is no matrix of 3 x 3: {error!r}") from error

    def _positions(self, of: dict, who: str) -> np.ndarray:
        return self._over_time(of, "positions", 3, who)

    def _rotations(self, of: dict, who: str) -> np.ndarray:
        """[num_frames, 3, 3] of quaternions w, x, y, z."""
        quaternions = self._over_time(of, "quaternions", 4, who)
        length = np.linalg.norm(quaternions, axis=-1, keepdims=True)
        if (np.abs(length - 1) > 0.01).any():
            raise ValueError(f"{self._folder / METADATA}: quaternions of {who} are not of length 1")
        w, x, y, z = (quaternions / length).T
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        return np.array(rows).transpose(2, 0, 1)

    def _over_time(self, of: dict, name: str, width: int, who: str) -> np.ndarray:
        try:
            values = np.array(of[name], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self._folder / METADATA}: {who} has no {name} ({error!r})") from error
        if values.shape != (self.num_frames, width) or not np.isfinite(values).all():
            raise ValueError(
                f"{self._folder / METADATA}: {name} of {who} are {list(values.shape)}, expected {self.num_frames} times "
                f"{width} finite numbers"
            )
        return values
