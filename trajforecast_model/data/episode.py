"""A recorded episode in one small file: both cameras' frames, and the geometry from which exact tracks follow.

The file is an npz archive without pickled objects: frames as WebP pictures; depth and body ids at the query points of
every frame as PNG pictures; the poses of cameras and visible bodies.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np

from trajforecast_model.files.atomic import replacing
from trajforecast_model.tracks.exact_tracks import BodyPoses, CameraPoses, exact_tracks
from trajforecast_model.tracks.grid import query_points, rescale

NUM_FRAMES = 16
WEBP_QUALITY = 65
METRES_PER_DEPTH_UNIT = 0.0005


@dataclass(frozen=True)
class ViewGeometry:
    """What one camera sees at the query points of every frame."""

    depth: np.ndarray  # float32 [N, H, W], metres along the optical axis
    body: np.ndarray  # uint8 [N, H, W], index into the episode's bodies
    camera: CameraPoses


@dataclass(frozen=True)
class Episode:
    """frames: uint8 [N, h, w, 3] by view; dt: seconds between two frames; source: where the episode comes from."""

    instruction: str
    dt: float
    source: str
    frames: dict[str, np.ndarray]
    geometry: dict[str, ViewGeometry]
    bodies: BodyPoses

    def truth(self, view: str, start: int) -> tuple[np.ndarray, np.ndarray]:
        """What really happens from a frame on.

        Returns:
            Exact tracks, float32 [16, H, W, 2] in pixels of the view's frames, and visibility, bool [16, H, W].

        Raises:
            ValueError: for an unknown view, and where the episode has no 16 frames from `start` on.
        """
        if view not in self.geometry:
            raise ValueError(f"view {view!r} is not in the episode; it has {', '.join(self.geometry)}")
        length = len(self.frames[view])
        if not 0 <= start <= length - NUM_FRAMES:
            raise ValueError(
                f"start {start}: the episode's {length} frames have windows from 0 to {length - NUM_FRAMES}"
            )
        seen = self.geometry[view]
        points = query_points(seen.depth.shape[1:], seen.camera.image_size)
        frames = list(range(start, start + NUM_FRAMES))
        tracks, visibility = exact_tracks(points, seen.depth, seen.body[start], seen.camera, self.bodies, frames)
        return rescale(tracks, seen.camera.image_size, self.frames[view].shape[1:3]), visibility

    def save(self, path: str | Path) -> None:
        arrays = {
            "instruction": np.array(self.instruction),
            "dt": np.array(self.dt),
            "source": np.array(self.source),
            "views": np.array(list(self.frames)),
            "body_positions": self.bodies.positions.astype(np.float32),
            "body_rotations": self.bodies.rotations.astype(np.float32),
        }
        for view, frames in self.frames.items():
            seen = self.geometry[view]
            pictures = [_encode(".webp", frame[..., ::-1], cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY) for frame in frames]
            arrays[f"{view}_frames"] = np.concatenate(pictures)
            arrays[f"{view}_frame_sizes"] = np.array([len(picture) for picture in pictures])
            arrays[f"{view}_depth"] = _encode_depth(seen.depth)
            arrays[f"{view}_body"] = _encode(".png", _tall(seen.body), cv2.IMWRITE_PNG_COMPRESSION, 9)
            arrays[f"{view}_camera_positions"] = seen.camera.positions.astype(np.float32)
            arrays[f"{view}_camera_rotations"] = seen.camera.rotations.astype(np.float32)
            arrays[f"{view}_focal"] = np.array(seen.camera.focal)
            arrays[f"{view}_image_size"] = np.array(seen.camera.image_size)
            arrays[f"{view}_grid"] = np.array(seen.depth.shape[1:])
        path = Path(path)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Episode":
        """Raises ValueError when there is no such file or it is not an episode."""
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"episode file {path} does not exist")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls._from_arrays(arrays)
        except (OSError, EOFError, KeyError, ValueError, BadZipFile, cv2.error) as error:
            raise ValueError(f"{path} is not an episode file: {error}") from error

    @classmethod
    def _from_arrays(cls, arrays) -> "Episode":
        frames, geometry = {}, {}
        for view in arrays["views"].tolist():
            ends = np.cumsum(arrays[f"{view}_frame_sizes"])
            pictures = np.split(arrays[f"{view}_frames"], ends[:-1])
            frames[view] = np.stack([_decode(picture, cv2.IMREAD_COLOR)[..., ::-1] for picture in pictures])
            grid = tuple(arrays[f"{view}_grid"].tolist())
            geometry[view] = ViewGeometry(
                depth=_decode_depth(arrays[f"{view}_depth"], grid),
                body=_decode(arrays[f"{view}_body"], cv2.IMREAD_UNCHANGED).reshape(-1, *grid),
                camera=CameraPoses(
                    positions=arrays[f"{view}_camera_positions"].astype(np.float64),
                    rotations=arrays[f"{view}_camera_rotations"].astype(np.float64),
                    focal=float(arrays[f"{view}_focal"]),
                    image_size=tuple(arrays[f"{view}_image_size"].tolist()),
                ),
            )
        return cls(
            instruction=str(arrays["instruction"]),
            dt=float(arrays["dt"]),
            source=str(arrays["source"]),
            frames=frames,
            geometry=geometry,
            bodies=BodyPoses(arrays["body_positions"].astype(np.float64), arrays["body_rotations"].astype(np.float64)),
        )


def _encode_depth(depth: np.ndarray) -> np.ndarray:
    """[N, H, W] metres to PNG bytes. Differences from frame to frame are mostly zero where the camera stands still."""
    units = np.rint(depth / METRES_PER_DEPTH_UNIT).clip(0, 65535).astype(np.uint16)
    differences = np.diff(units, axis=0, prepend=np.zeros_like(units[:1]))  # modulo 65536
    return _encode(".png", _tall(differences), cv2.IMWRITE_PNG_COMPRESSION, 9)


def _decode_depth(png: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    differences = _decode(png, cv2.IMREAD_UNCHANGED).reshape(-1, *grid)
    units = np.cumsum(differences, axis=0, dtype=np.uint16)
    return units.astype(np.float32) * METRES_PER_DEPTH_UNIT


def _tall(stack: np.ndarray) -> np.ndarray:
    """[N, H, W] as one picture [N * H, W]."""
    return np.ascontiguousarray(stack.reshape(-1, stack.shape[-1]))


def _encode(extension: str, picture: np.ndarray, option: int, value: int) -> np.ndarray:
    _, data = cv2.imencode(extension, picture, [option, value])
    return data.reshape(-1)


def _decode(data: np.ndarray, flags: int) -> np.ndarray:
    picture = cv2.imdecode(data, flags)
    if picture is None:
        raise ValueError("it holds a picture that cannot be decoded")
    return picture
