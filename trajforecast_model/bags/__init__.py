"""rosbag2 bags, read without ROS. Importing its modules takes rosbags (the extra `bags`)."""
