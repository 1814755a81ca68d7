"""Pictures and videos to frames, as recordings and LeRobot's datasets hold them. Decoded by OpenCV: H.264, AV1, VP9,
MPEG-4 and Motion JPEG with its own wheels."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from trajforecast_model.images import decode_rgb, resize_image

PICTURE_ENDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
VIDEO_ENDS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


def decode_picture(data: bytes, where: str, size: tuple[int, int]) -> np.ndarray:
    """An encoded picture as uint8 RGB [*size, 3]. Raises ValueError naming `where` if it does not decode, or is a depth map."""
    try:
        picture = decode_rgb(data)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from error
    if picture is None:
        raise ValueError(f"{where} is not a picture that can be decoded (empty or truncated?)")
    return resize_image(picture, size)


def video_length_and_fps(path: Path) -> tuple[int, float]:
    """What the file says of itself: frames (0 where it does not say) and frames a second. Raises ValueError if broken."""
    with _opened(path) as video:
        return max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT))), float(video.get(cv2.CAP_PROP_FPS))


def video_size(path: Path) -> tuple[int, int]:
    """Height and width of its frames. Raises ValueError if broken."""
    with _opened(path) as video:
        return int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(video.get(cv2.CAP_PROP_FRAME_WIDTH))


class Video(NamedTuple):
    """frames: uint8 RGB [height, width, 3] each. times: their seconds in the video, float64 [frames]."""

    frames: list[np.ndarray]
    times: np.ndarray


def read_video(path: Path, size: tuple[int, int] | None, start: int = 0, count: int | None = None) -> Video:
    """Frames from `start` on, all or up to `count` of them, each resized to `size` (height, width), if any.

    Raises:
        ValueError: where the video cannot be opened, ends before what it says of itself, or holds depth maps.
    """
    frames: list[np.ndarray] = []
    times: list[float] = []
    with _opened(path) as video:
        if start:
            video.set(cv2.CAP_PROP_POS_FRAMES, start)
        while count is None or len(frames) < count:
            decoded, frame = video.read()
            if not decoded:
                break
            rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            frames.append(rgb if size is None else resize_image(rgb, size))
            times.append(video.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        said = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    # Containers often count a frame more than there is.
    expected = said - start - 1 if count is None else min(count, said - start - 1)
    if not frames or len(frames) < expected:
        raise ValueError(f"{path} ends after {len(frames)} of {expected} frames from {start} on; is it truncated?")
    return Video(frames, np.array(times))


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise ValueError(f"{path} is not a video that can be decoded (empty, truncated or of an unknown kind?)")
        if bits := _bits_of_grey(video):
            raise ValueError(
                f"{path} has values of {bits} bits and one channel, as a depth camera's; take the colour camera's video"
            )
        yield video
    finally:
        video.release()


def _bits_of_grey(video: cv2.VideoCapture) -> int:
    """How many bits a value has in a video of one channel of more than 8, else 0: OpenCV would give its upper byte."""
    tag = int(video.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)).to_bytes(8, "little", signed=True)
    return tag[3] if tag[:3] == b"Y1\0" and tag[3] > 8 else 0
