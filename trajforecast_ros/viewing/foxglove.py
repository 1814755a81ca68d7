"""Forecasts for Foxglove: lines over the camera's image, in its own schema foxglove_msgs/ImageAnnotations.

foxglove_msgs is in ROS 2's apt repository (ros-jazzy-foxglove-msgs) and on no other registry; without it there are no
annotations, and Foxglove shows `~/overlay/<view>` and the markers as RViz does.
"""

import importlib.util

import numpy as np

from trajforecast_ros.messages import Source
from trajforecast_ros.viewing.lines import both_ends, track_lines

THICKNESS = 0.6  # pixels of the image


def is_available() -> bool:
    """Whether foxglove_msgs is installed."""
    return importlib.util.find_spec("foxglove_msgs") is not None


def annotations_type():
    """The message type of `track_annotations`; only where `is_available()`."""
    from foxglove_msgs.msg import ImageAnnotations

    return ImageAnnotations


def track_annotations(tracks: np.ndarray, mean_track: np.ndarray, source: Source, samples: int = 0):
    """Mean tracks of the points that move in one view, coloured from now to the horizon.

    Args:
        tracks, mean_track: [k, T, H, W, 2] and [T, H, W, 2] of that view, pixels.
        samples: how many of the samples are shown beside the mean.

    Returns:
        foxglove_msgs/ImageAnnotations with one line list; its pixels count as ours, from the image's corner.
    """
    from foxglove_msgs.msg import Color, ImageAnnotations, Point2, PointsAnnotation

    lines = track_lines(tracks, mean_track, (source.height, source.width), samples=samples)
    annotation = PointsAnnotation(timestamp=source.header.stamp, type=PointsAnnotation.LINE_LIST, thickness=THICKNESS)
    palette = {
        # One colour a segment: that of its end.
        opacity: [Color(r=r, g=g, b=b, a=opacity) for r, g, b in lines.colours[1:].tolist()]
        for opacity in set(lines.opacity.tolist())
    }
    for line, opacity in zip(lines.positions.tolist(), lines.opacity.tolist(), strict=True):
        annotation.points += both_ends([Point2(x=x, y=y) for x, y in line])
        annotation.outline_colors += palette[opacity]
    return ImageAnnotations(points=[annotation])
