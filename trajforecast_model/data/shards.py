"""Prepared windows on disk: Apache Arrow IPC files, one a demo, one row a (window, view), read through a memory map.

Every row is a compressed record batch of its own, so any order of reading is cheap and the data may exceed memory.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.ipc

from trajforecast_model.data import rounded
from trajforecast_model.data.windows import Anchor
from trajforecast_model.files.arrow_files import naming_damage, open_rows, write_rows
from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.files.config import from_dict, to_dict
from trajforecast_model.images import decode_rgb
from trajforecast_model.tracks.grid import query_points

INFO_FILE = "dataset.json"
FORMAT_VERSION = 1
SPLITS = ("train", "val")
_REMEDY = "delete it and prepare again"
COMPRESSION, SMALLEST = "zstd", pa.Codec("zstd", 9)  # to read and write often; to travel

_SCHEMA = pa.schema(
    {
        "task": pa.string(),
        "demo": pa.string(),
        "start": pa.int32(),
        "view": pa.string(),
        "instruction": pa.string(),
        "image": pa.binary(),  # PNG, JPEG in a pack; RGB, upright
        "offsets": pa.binary(),  # float16 [T, H, W, 2]: track minus query point, pixels; null in a pack, see training/pack
        "visibility": pa.binary(),  # packed bits of [T, H, W], or null
        "num_real_frames": pa.int32(),
    }
)
_OF_TRACKS = ("offsets", "visibility", "frames")
_OF_HISTORY = ("history_offsets", "history_visibility", "pictures_between")
# Columns only where they were asked for.
_FRAMES = pa.field("frames", pa.binary())  # uint8 [T, h, w, 3], RGB, upright
_HISTORY = (
    # float16 [history_frames, H, W, 2]: track minus query point, pixels; as data/rounded.py where there is a history_step
    pa.field("history_offsets", pa.binary()),
    pa.field("history_visibility", pa.binary()),  # packed bits of [history_frames, H, W]
)
# Of the frames between the view's last window and this one, oldest first: what the rows before do not show already.
_PICTURES = pa.field("pictures_between", pa.list_(pa.binary()))  # JPEG
_HISTORY_QUALITY = 95  # of these JPEGs, 1 to 100


@dataclass(frozen=True)
class DatasetInfo:
    """The conventions that all windows of a prepared folder share."""

    labeler: str
    stride: int  # frames between the starts of two windows
    num_frames: int = 16
    grid: tuple[int, int] = (64, 64)  # rows, columns of query points
    image_size: tuple[int, int] = (128, 128)  # height, width
    dt: float = 0.05  # seconds between frames
    views: tuple[str, ...] = ("side", "effector")
    window_end: Literal["repeat_last_frame"] = "repeat_last_frame"  # ATM's; num_real_frames tells which are whole
    labeler_weights: str | None = None  # name of the weights file, where the labeler is a network
    frame_size: tuple[int, int] | None = None  # height, width of each window's frames, where these are stored too
    history_frames: int = 0  # before the present one, for which the window tells where its points were
    history_pictures: bool = False  # whether the pictures of these frames are stored too
    history_step: float | None = None  # pixels to which the past is rounded, in a pack; null: float16
    anchor: Anchor = "present"  # the frame in which a window's points form the grid; "first": that of its history
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class Window:
    """What one camera saw at one moment, and where its points went."""

    task: str
    demo: str
    start: int  # frame of the demo
    view: str
    instruction: str
    image: np.ndarray  # uint8 [H_image, W_image, 3]
    tracks: np.ndarray | None  # float32 [T, H, W, 2], pixels; None, and no visibility, where tracks are not read
    visibility: np.ndarray | None  # bool [T, H, W]
    num_real_frames: int  # frames before the last one is repeated
    image_tokens: np.ndarray | None = None  # float16 [M, D] of a feature cache
    latents: np.ndarray | None = None  # float16 [2, T', C, h, w] of a latent cache: mean and standard deviation
    moving: np.ndarray | None = None  # bool [H, W] of a latent cache: the protocol's filter
    frames: np.ndarray | None = None  # uint8 [T, *frame_size, 3], where they are stored
    history_tracks: np.ndarray | None = None  # float32 [history_frames, H, W, 2], oldest first, without the present
    history_visibility: np.ndarray | None = None  # bool [history_frames, H, W]; False before the demo began
    # uint8 [history_frames, H_image, W_image, 3], where they are stored; black before the demo began
    history_images: np.ndarray | None = None
    # What a labeler gives in place of these, so that a demo's pictures are stored once: see windows.frames_between.
    pictures_between: tuple[np.ndarray, ...] | None = None


@dataclass(frozen=True)
class WindowRows:
    """What is known of every window without decoding its image and tracks; arrays of one entry a window."""

    task: np.ndarray
    demo: np.ndarray
    start: np.ndarray
    view: np.ndarray
    instruction: np.ndarray
    num_real_frames: np.ndarray


def write_shard(path: Path, windows: list[Window], info: DatasetInfo, jpeg_quality: int | None = None) -> None:
    """Writes the windows of a demo; the file appears only when it is whole. Raises ValueError as `check_windows`.

    Args:
        windows: without tracks, a shard for training on kept latents alone.
        jpeg_quality: 1 to 100, of pictures as JPEG; None for PNG, which loses nothing.
    """
    check_windows(windows, info)
    points = query_points(info.grid, info.image_size)
    schema = _schema(info)
    rows = (
        pa.RecordBatch.from_pylist([_row(window, points, info.history_step, jpeg_quality)], schema=schema)
        for window in windows
    )
    write_rows(path, schema, rows, compression=COMPRESSION if jpeg_quality is None else SMALLEST)


def _schema(info: DatasetInfo) -> pa.Schema:
    fields = [*_SCHEMA]
    if info.frame_size is not None:
        fields.append(_FRAMES)
    if info.history_frames:
        fields += _HISTORY
    if info.history_pictures:
        fields.append(_PICTURES)
    return pa.schema(fields)


def check_windows(windows: list[Window], info: DatasetInfo) -> None:
    """Raises ValueError for windows that a training could not use: not of this shape, or not finite."""
    for window in windows:
        where = f"{window.demo} frame {window.start}, view {window.view}"
        shape = (info.num_frames, *info.grid, 2)
        if window.tracks is None:
            continue
        if window.tracks.shape != shape or window.image.shape[:2] != tuple(info.image_size):
            raise ValueError(
                f"{where}: tracks {window.tracks.shape} over an image {window.image.shape[:2]}, expected {shape} over "
                f"{tuple(info.image_size)}"
            )
        if not np.isfinite(window.tracks).all():
            raise ValueError(f"{where}: its tracks are not finite numbers")
        if info.history_frames:
            _check_history(window, info, where)


def _check_history(window: Window, info: DatasetInfo, where: str) -> None:
    shape = (info.history_frames, *info.grid)
    tracks, visible = window.history_tracks, window.history_visibility
    if tracks is None or visible is None or tracks.shape != (*shape, 2) or visible.shape != shape:
        got = "none" if tracks is None or visible is None else f"tracks {tracks.shape}, visibility {visible.shape}"
        raise ValueError(f"{where}: expected a history of tracks {(*shape, 2)} and visibility {shape}, got {got}")
    if not np.isfinite(tracks).all():
        raise ValueError(f"{where}: the tracks of its history are not finite numbers")
    if info.history_pictures:
        pictures = window.pictures_between
        if pictures is None or any(picture.shape[:2] != tuple(info.image_size) for picture in pictures):
            got = "none" if pictures is None else f"some of {[picture.shape[:2] for picture in pictures]}"
            raise ValueError(
                f"{where}: expected pictures between the windows of {tuple(info.image_size)} pixels, got {got}"
            )


def write_info(folder: Path, info: DatasetInfo) -> None:
    write_atomically(folder / INFO_FILE, (json.dumps(to_dict(info), indent=2) + "\n").encode())


def read_info(folder: Path) -> DatasetInfo:
    """Raises ValueError where `folder` was not written by `trajforecast prepare`."""
    path = Path(folder) / INFO_FILE
    if not path.is_file():
        raise ValueError(
            f"data folder {folder} has no {INFO_FILE}: it is not a folder written by `trajforecast prepare`"
        )
    try:
        info = from_dict(DatasetInfo, json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if info.format_version != FORMAT_VERSION:
        raise ValueError(
            f"{path}: format version {info.format_version}, this program reads {FORMAT_VERSION}; prepare again"
        )
    return info


class ShardDataset:
    """Windows of a prepared folder by index, in the order of task, demo, start, view.

    Args:
        tracks: whether to read tracks, visibility and frames, which are nearly all that there is to read.
        history: whether to read the past, where the data has one.
        history_pictures: whether to gather its pictures too, where they are stored; nothing trains on them yet.
        anchors: the frames in which the reader can have the points form the grid; most forecast from the present one.

    Raises:
        ValueError: where the folder is not prepared data, is anchored elsewhere, has no windows, or a file in it is
            damaged.
    """

    def __init__(
        self,
        folder: str | Path,
        split: Literal["train", "val", "all"] = "train",
        views=None,
        tracks: bool = True,
        history: bool = True,
        history_pictures: bool = True,
        anchors: tuple[Anchor, ...] = ("present",),
    ):
        self.folder = Path(folder)
        self.info = read_info(self.folder)
        if self.info.anchor not in anchors:
            raise ValueError(
                f"data folder {self.folder} has its points on the grid of the {self.info.anchor} frame of a window's history "
                f"(--anchor {self.info.anchor}), and this takes windows of --anchor {' or '.join(anchors)}; prepare the "
                "demos so"
            )
        self._with_tracks, self._with_history = tracks, history and self.info.history_frames > 0
        self._with_pictures = self._with_history and history_pictures and self.info.history_pictures
        self._without = _columns(self.info, leave_out=(*_OF_TRACKS, *_OF_HISTORY))
        self._all_but_history = _columns(self.info, leave_out=_OF_HISTORY)
        left_out = (() if tracks else _OF_TRACKS) + (() if history else _OF_HISTORY)
        self._asked_for = _columns(self.info, leave_out=(*left_out, _PICTURES.name))  # gathered by themselves
        self._pictures_of_row = (
            tuple(_schema(self.info).names.index(name) for name in ("image", _PICTURES.name))
            if self._with_pictures
            else ()
        )
        splits = SPLITS if split == "all" else (split,)
        self.shards: list[Path] = []  # those with a window: a demo may be too short for one
        self._points = query_points(self.info.grid, self.info.image_size)
        self._index: list[tuple[int, int]] = []  # (file, row in it)
        columns: dict[str, list] = {name: [] for name in WindowRows.__dataclass_fields__}
        for path in (path for name in splits for path in sorted((self.folder / name).glob("*.arrow"))):
            rows = _metadata(path, tuple(columns))
            chosen = [row for row, view in enumerate(rows["view"]) if views is None or view in views]
            if not chosen:
                continue
            self._index += [(len(self.shards), row) for row in chosen]
            self.shards.append(path)
            for name, values in columns.items():
                values += [rows[name][row] for row in chosen]
        if not self._index:
            raise ValueError(f"data folder {self.folder} has no windows in its {split} split; prepare more demos")
        self.rows = WindowRows(**{name: np.array(values) for name, values in columns.items()})

    def __len__(self) -> int:
        return len(self._index)

    def place(self, index: int) -> tuple[Path, int]:
        """The shard of a window, and the row in it."""
        number, row = self._index[index]
        return self.shards[number], row

    def __getitem__(self, index: int) -> Window:
        path, row = self.place(index)
        values = _read_row(path, row, self._asked_for)
        return Window(
            task=values["task"],
            demo=values["demo"],
            start=values["start"],
            view=values["view"],
            instruction=values["instruction"],
            image=self._image(values, path, row),
            num_real_frames=values["num_real_frames"],
            **(self._tracks(values, path, row) if self._with_tracks else {"tracks": None, "visibility": None}),
            **(self._history(values, path, row) if self._with_history else {}),
            history_images=self._history_images(index) if self._with_pictures else None,
        )

    def _history_images(self, index: int) -> np.ndarray:
        """Gathered from the windows before in the same view, whose pictures are part of this one's past."""
        length, rows = self.info.history_frames, self.rows
        images = np.zeros((length, *self.info.image_size, 3), np.uint8)
        missing = length
        earlier = index
        while missing:
            path, row = self.place(earlier)
            values = _read_row(path, row, self._pictures_of_row)
            if earlier != index:
                missing -= 1
                images[missing] = self._image(values, path, row)
            for picture in (values["pictures_between"] or [])[::-1][:missing]:
                missing -= 1
                images[missing] = self._image({"image": picture}, path, row)
            earlier -= 1
            while earlier >= 0 and self.place(earlier)[0] == path and rows.view[earlier] != rows.view[index]:
                earlier -= 1
            if earlier < 0 or self.place(earlier)[0] != path:
                break
        return images

    def images_at(self, index: int) -> dict[str, np.ndarray]:
        """What every view saw at the moment of a window, uint8 [H_image, W_image, 3] each."""
        rows, images = self.rows, {}
        same = (rows.task == rows.task[index]) & (rows.demo == rows.demo[index]) & (rows.start == rows.start[index])
        for other in np.flatnonzero(same):
            path, row = self.place(other)
            images[str(rows.view[other])] = self._image(_read_row(path, row, self._without), path, row)
        return images

    def _image(self, values: dict, path: Path, row: int) -> np.ndarray:
        image = _decoded(values["image"], path, row)
        if image.shape[:2] != tuple(self.info.image_size):
            raise ValueError(
                f"shard {path}: the image of row {row} has {image.shape[0]} x {image.shape[1]} pixels, {INFO_FILE} says "
                f"{self.info.image_size[0]} x {self.info.image_size[1]}; prepare this demo again"
            )
        return image

    def tracks_at(self, index: int) -> np.ndarray | None:
        """Of a window, float32 [T, H, W, 2], pixels; None where a pack has latents in their place."""
        path, row = self.place(index)
        values = _read_row(path, row, self._all_but_history)
        return None if values["offsets"] is None else self._tracks(values, path, row)["tracks"]

    def _tracks(self, values: dict, path: Path, row: int) -> dict[str, np.ndarray | None]:
        if values["offsets"] is None:
            raise ValueError(
                f"shard {path} has no tracks: it comes from a pack, which holds the latents of one VAE in their place; set "
                "data.latent_cache to its folder latents and train a denoiser on that VAE"
            )
        size = self.info.frame_size
        with _naming_shape(path, row):
            frames = None if size is None else np.frombuffer(values["frames"], np.uint8).reshape(-1, *size, 3)
        tracks, visibility = self._points_of(values, "", self.info.num_frames, None, path, row)
        return {"tracks": tracks, "visibility": visibility, "frames": frames}

    def _history(self, values: dict, path: Path, row: int) -> dict[str, np.ndarray]:
        length, step = self.info.history_frames, self.info.history_step
        tracks, visibility = self._points_of(values, "history_", length, step, path, row)
        return {"history_tracks": tracks, "history_visibility": visibility}

    def _points_of(
        self, values: dict, prefix: str, length: int, step: float | None, path: Path, row: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tracks float32 [length, H, W, 2] and visibility bool [length, H, W]."""
        shape = (length, *self.info.grid)
        with _naming_shape(path, row):
            stored = values[f"{prefix}offsets"]
            if step is None:
                offsets = np.frombuffer(stored, np.float16).reshape(*shape, 2).astype(np.float32)
            else:
                offsets = rounded.decoded(stored, (*shape, 2), step)
            bits = np.unpackbits(np.frombuffer(values[f"{prefix}visibility"], np.uint8), count=int(np.prod(shape)))
            visibility = bits.reshape(shape).astype(bool)
        if not np.isfinite(offsets).all():
            raise ValueError(f"shard {path}: the tracks of row {row} are not finite; prepare this demo again")
        return self._points + offsets, visibility


def read_images(shard: Path) -> np.ndarray:
    """The images of all rows of a shard, uint8 [N, H, W, 3], without the rest of it."""
    pictures = _metadata(shard, ("image",))["image"]
    return np.stack([_decoded(picture, shard, row) for row, picture in enumerate(pictures)])


def fingerprint(shard: Path) -> str:
    """Tells a shard from another one of its name: its size and its end, which lists the sizes of all its rows."""
    size = shard.stat().st_size
    with open(shard, "rb") as file:
        file.seek(max(0, size - 65536))
        return f"{size}-{hashlib.sha256(file.read()).hexdigest()[:16]}"


def _encoded(image: np.ndarray, jpeg_quality: int | None) -> bytes:
    """uint8 RGB [H, W, 3] as a file's bytes."""
    kind, options = (".png", []) if jpeg_quality is None else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    done, data = cv2.imencode(kind, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"an image {list(image.shape)} does not encode as {kind}")
    return data.tobytes()


def _decoded(picture: bytes, shard: Path, row: int) -> np.ndarray:
    try:
        image = decode_rgb(picture)
    except ValueError as error:
        raise ValueError(f"shard {shard}: the image of row {row} {error}") from error
    if image is None:
        raise ValueError(f"shard {shard}: the image of row {row} does not decode; prepare this demo again")
    return image


def _row(window: Window, points: np.ndarray, history_step: float | None, jpeg_quality: int | None) -> dict:
    offsets = visibility = None
    if window.tracks is not None:
        offsets, visibility = _offsets(window.tracks, points), np.packbits(window.visibility).tobytes()
    history = {}
    if window.history_tracks is not None:
        past = window.history_tracks
        history = {
            "history_offsets": _offsets(past, points)
            if history_step is None
            else rounded.encoded(past - points, history_step),
            "history_visibility": np.packbits(window.history_visibility).tobytes(),
        }
    if window.pictures_between is not None:
        history["pictures_between"] = [_encoded(picture, _HISTORY_QUALITY) for picture in window.pictures_between]
    return {
        "task": window.task,
        "demo": window.demo,
        "start": window.start,
        "view": window.view,
        "instruction": window.instruction,
        "image": _encoded(window.image, jpeg_quality),
        "offsets": offsets,
        "visibility": visibility,
        "num_real_frames": window.num_real_frames,
        "frames": None if window.frames is None else window.frames.tobytes(),
        **history,
    }


def _offsets(tracks: np.ndarray, points: np.ndarray) -> bytes:
    # float16 overflows at 65504 px; points that near the camera plane carry no information that far out.
    return np.clip(tracks - points, -60000, 60000).astype(np.float16).tobytes()


def _columns(info: DatasetInfo, leave_out: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(i for i, name in enumerate(_schema(info).names) if name not in leave_out)


@contextmanager
def _naming_shape(path: Path, row: int) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"shard {path}: row {row} is not of the shape that {INFO_FILE} tells ({error}); prepare this demo again"
        ) from error


def _read_row(path: Path, row: int, columns: tuple[int, ...]) -> dict:
    """`columns`: those to read, all if none."""
    with naming_damage(f"shard {path} is damaged", _REMEDY):
        reader = open_rows(path, columns)
    with naming_damage(f"shard {path} is damaged in row {row}", _REMEDY):
        return reader.get_batch(row).to_pylist()[0]


def _metadata(path: Path, columns: tuple[str, ...]) -> dict[str, list]:
    """Some columns of a whole file, without decompressing the others."""
    fields = sorted(_SCHEMA.get_field_index(name) for name in columns)
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    with naming_damage(f"shard {path} is damaged", _REMEDY), pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source, options=options).read_all().to_pydict()
