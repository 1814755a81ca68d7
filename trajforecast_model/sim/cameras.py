"""What LIBERO calls the two views: its cameras in MuJoCo, and the datasets of its HDF5 files that hold their pictures."""

VIEW_CAMERAS = {"side": "agentview", "effector": "robot0_eye_in_hand"}
VIEW_DATASETS = {"side": "agentview_rgb", "effector": "eye_in_hand_rgb"}
