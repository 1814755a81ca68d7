"""Images in ROS messages as RGB arrays, whatever they are wrapped in, and RGB arrays as messages.

They are decoded by trajforecast_model.image_messages, as those of bags are.
"""

from trajforecast_model.image_messages.raw import ENCODINGS, ImageRefused
from trajforecast_ros.images.door import depth_message, to_message, to_rgb

__all__ = ["ENCODINGS", "ImageRefused", "depth_message", "to_message", "to_rgb"]
