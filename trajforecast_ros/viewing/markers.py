"""Forecasts for RViz: one line list a view.

The lines lie in a picture that stands in front of the camera: in the image's frame (a ROS optical frame: x right,
y down, z forward), at z = DISTANCE, WIDTH metres wide. That needs no calibration; it shows where in the image things
go, not where in the world.
"""

import numpy as np
from geometry_msgs.msg import Point
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from trajforecast_ros.messages import Source
from trajforecast_ros.viewing.lines import both_ends, track_lines

WIDTH = 1.0  # metres
DISTANCE = 1.0  # metres
LINE_WIDTH = 0.004  # metres


def track_marker(
    tracks: np.ndarray, mean_track: np.ndarray, source: Source, samples: int = 0, lifetime: float = 0.0
) -> Marker:
    """Mean tracks of the points that move in one view, coloured from now to the horizon.

    A new marker of the view takes the old one's place; where nothing moves the old one is taken away.

    Args:
        tracks, mean_track: [k, T, H, W, 2] and [T, H, W, 2] of that view, pixels.
        samples: how many of the samples are shown beside the mean.
        lifetime: seconds after which RViz takes the marker away when no other has come; 0 is never.
    """
    lines = track_lines(tracks, mean_track, (source.height, source.width), samples=samples)
    marker = Marker(header=source.header, ns=source.view, id=0, type=Marker.LINE_LIST, action=Marker.ADD)
    marker.pose.orientation.w = 1.0
    marker.scale.x = LINE_WIDTH
    marker.lifetime = Duration(seconds=lifetime).to_msg()
    if not len(lines.positions):
        # RViz complains about a line list without lines.
        marker.action = Marker.DELETE
        return marker
    metres = (lines.positions - (source.width / 2, source.height / 2)) * (WIDTH / source.width)
    palette = {
        opacity: [ColorRGBA(r=r, g=g, b=b, a=opacity) for r, g, b in lines.colours.tolist()]
        for opacity in set(lines.opacity.tolist())
    }
    # Points and colours are shared between the ends of segments: making one costs microseconds, and there are thousands.
    for line, opacity in zip(metres.tolist(), lines.opacity.tolist(), strict=True):
        marker.points += both_ends([Point(x=x, y=y, z=DISTANCE) for x, y in line])
        marker.colors += both_ends(palette[opacity])
    return marker
