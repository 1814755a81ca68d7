"""Pictures and videos to frames, as recordings and LeRobot's datasets hold them. Decoded by OpenCV: H.264, AV1, VP9,
MPEG-4 and Motion JPEG with its own wheels."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from trajforecast_model.images import decode_rgb, resize_image

PICTURE_ENDS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
VIDEO_ENDS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


def decode_picture(data: bytes, where: str, size: tuple[int, int]) -> np.ndarray:
    """An encoded picture as uint8 RGB [*size, 3]. Raises ValueError naming `where` if it does not decode."""
    picture = decode_rgb(data)
    if picture is None:
        raise ValueError(f"{where} is not a picture that can be decoded (empty or truncated?)")
    return resize_image(picture, size)


def video_length_and_fps(path: Path) -> tuple[int, float]:
    """What the file says of itself: frames (0 where it does not say) and frames a second. Raises ValueError if broken."""
    with _opened(path) as video:
        return max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT))), float(video.get(cv2.CAP_PROP_FPS))


def read_video(path: Path, size: tuple[int, int], start: int = 0, count: int | None = None) -> list[np.ndarray]:
    """Frames from `start` on, all or `count` of them, each resized to `size`: uint8 RGB [*size, 3].

    Raises:
        ValueError: where the video cannot be opened, or ends before `count` frames.
    """
    frames: list[np.ndarray] = []
    with _opened(path) as video:
        if start:
            video.set(cv2.CAP_PROP_POS_FRAMES, start)
        while count is None or len(frames) < count:
            decoded, frame = video.read()
            if not decoded:
                break
            frames.append(resize_image(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), size))
        said = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    # Containers often count a frame more than there is.
    expected = count if count is not None else said - start - 1
    if not frames or len(frames) < expected:
        raise ValueError(f"{path} ends after {len(frames)} of {expected} frames from {start} on; is it truncated?")
    return frames


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise ValueError(f"{path} is not a video that can be decoded (empty, truncated or of an unknown kind?)")
        yield video
    finally:
        video.release()
