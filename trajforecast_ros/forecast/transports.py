"""Which wrapping each camera's images come in: "compressed" for all cameras, or "side:raw,effector:compressed"."""

from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from trajforecast_ros.images import video
from trajforecast_ros.qos import EVERY_PACKET, NEWEST_IMAGE
from trajforecast_ros.starting.names import nearest

TRANSPORTS = ("raw", "compressed", "ffmpeg")


def parse_transports(text: str, views: list[str]) -> dict[str, str]:
    """One of TRANSPORTS for each view; a view that is not named among others has raw.

    Raises:
        ValueError: for a transport or a view that there is not, or a view that is named twice.
    """
    if ":" not in text:
        return dict.fromkeys(views, _known(text.strip()))
    chosen: dict[str, str] = {}
    for part in text.split(","):
        view, colon, transport = (piece.strip() for piece in part.partition(":"))
        if not colon:
            raise ValueError(
                f"{part.strip()!r} names no camera; write one transport for all, or VIEW:TRANSPORT for each"
            )
        if view not in views:
            hint = nearest(view, views)
            raise ValueError(
                f"there is no camera {view!r}; " + (f"did you mean {hint}?" if hint else f"views is {views}")
            )
        if view in chosen:
            raise ValueError(f"camera {view} is named twice")
        chosen[view] = _known(transport)
    return dict.fromkeys(views, "raw") | chosen


def message_and_qos(transport: str) -> tuple[type, QoSProfile]:
    """Raises ValueError for ffmpeg where its message or PyAV is not installed."""
    if transport == "ffmpeg":
        return video.packet_type(), EVERY_PACKET
    return (Image if transport == "raw" else CompressedImage), NEWEST_IMAGE


def _known(transport: str) -> str:
    if transport in TRANSPORTS:
        return transport
    reason = "is for depth" if "depth" in transport.lower() else "is none of the transports"
    raise ValueError(f"{transport!r} {reason}; choose one of {', '.join(TRANSPORTS)}")
