"""The message of ffmpeg_image_transport, which may not be there."""

import importlib


def packet_type() -> type:
    """ffmpeg_image_transport_msgs/FFMPEGPacket.

    Raises:
        ValueError: when it or PyAV is not installed.
    """
    for module, remedy in (
        ("av", "install PyAV: pip install 'trajforecast[video]', or pip install av"),
        ("ffmpeg_image_transport_msgs.msg", "install ros-$ROS_DISTRO-ffmpeg-image-transport-msgs, or build it"),
    ):
        try:
            imported = importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"ffmpeg cannot be had here ({error}); {remedy}") from error
    return imported.FFMPEGPacket
