"""Images in ROS messages as RGB arrays, whatever they are wrapped in, and RGB arrays as messages.

What is refused raw (depth, or channels that nobody names) is refused in every wrapping.
"""

from trajforecast_ros.images.door import to_message, to_rgb
from trajforecast_ros.images.raw import ENCODINGS, ImageRefused

__all__ = ["ENCODINGS", "ImageRefused", "to_message", "to_rgb"]
