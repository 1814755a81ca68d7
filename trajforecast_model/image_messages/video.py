"""H.264 and HEVC of ffmpeg_image_transport to RGB arrays, by PyAV (the `video` extra).

A packet is the difference to those before it, so each must be decoded, in order, from a key frame on; its colours are
only made when somebody wants them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trajforecast_model.image_messages import raw
from trajforecast_model.image_messages.raw import ImageRefused

KEY_FRAME = 1  # in a packet's flags
MAX_UNDECODED = 64  # packets whose headers are kept until their images come


@dataclass(frozen=True)
class VideoImage:
    """One decoded image of a video."""

    header: Any  # the packet's
    encoding: str  # the packet's
    frame: Any  # av.VideoFrame

    def rgb(self) -> np.ndarray:
        """uint8 [height, width, 3].

        Raises:
            ImageRefused: for an image of one channel with more than 8 bits, as depth has.
        """
        from av.video.reformatter import VideoReformatter

        pixels = self.frame.format
        if len(pixels.components) == 1 and pixels.components[0].bits > 8:
            raise ImageRefused(
                f"the video {self.encoding!r} is gray in {pixels.components[0].bits} bits, as depth is; subscribe to the "
                "camera's colour image"
            )
        # One of its own: the frame's may be in use on another thread.
        return VideoReformatter().reformat(self.frame, format="rgb24").to_ndarray()


class VideoDecoder:
    """Of one camera. Not thread-safe."""

    def __init__(self):
        self._encoding = ""
        self._codec: Any = None  # av.CodecContext; None until the next key frame
        self._headers: dict[int, Any] = {}  # by the packet's time
        self._last: tuple[int, int] | None = None  # the last packet's time, and how far it was from the one before

    def decode(self, packet: Any) -> list[VideoImage]:
        """The images that this packet completes: none before the first key frame, or one for most packets.

        Raises:
            ImageRefused: for a codec that PyAV does not have, an encoding that is refused raw, or data that is no video.
        """
        import av

        if packet.encoding != self._encoding or self._lost_some(packet.pts):
            self._codec = None
        self._encoding = packet.encoding
        if self._codec is None:
            if not packet.flags & KEY_FRAME:
                return []
            self._codec = _codec(packet.encoding)
            self._headers.clear()
        data = av.Packet(bytes(packet.data))
        data.pts = packet.pts
        self._headers[packet.pts] = packet.header
        try:
            frames = self._codec.decode(data)
        except av.error.FFmpegError as error:
            self._codec = None
            raise ImageRefused(f"a packet of the video {packet.encoding!r} cannot be decoded: {error}") from error
        images = []
        for frame in frames:
            header = self._headers.pop(frame.pts, packet.header)
            if not frame.is_corrupt:
                images.append(VideoImage(header, packet.encoding, frame))
        for time in list(self._headers)[:-MAX_UNDECODED]:
            del self._headers[time]
        return images

    def _lost_some(self, time: int) -> bool:
        """Whether packets are missing before this one, where packets are counted, as ffmpeg_image_transport does."""
        before, self._last = self._last, (time, time - self._last[0] if self._last else 0)
        return before is not None and before[1] == 1 and self._last[1] > 1


def _codec(encoding: str) -> Any:
    """A decoder for "hevc;yuv420p;bgr8;bgr8": codec, pixel format, what was compressed and what the camera gave; or for
    the codec alone, which older versions call by the encoder's name, as h264_nvenc."""
    import av

    name, _, *images = encoding.split(";") if ";" in encoding else (encoding, "")
    for image in images:
        if image:
            raw.check(image)
    codec = "h264" if "264" in name else "hevc" if "265" in name or "hevc" in name else name
    try:
        context = av.CodecContext.create(codec, "r")
    except (av.error.FFmpegError, ValueError) as error:
        raise ImageRefused(f"there is no decoder for the video {encoding!r}: {error}; publish H.264 or HEVC") from error
    # Threads would keep back an image each.
    context.thread_count = 1
    context.options = {"flags": "low_delay"}
    return context
