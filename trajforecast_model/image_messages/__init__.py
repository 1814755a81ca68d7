"""Images in ROS messages as RGB arrays, whoever received or recorded them: nothing here needs ROS.

What is refused raw (depth, or channels that nobody names) is refused in every wrapping.
"""
