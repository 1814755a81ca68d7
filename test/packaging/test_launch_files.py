"""The launch files load and describe their arguments; run where ROS 2's launch is installed."""

from pathlib import Path

import pytest

pytest.importorskip("launch_ros")

from launch import LaunchContext
from launch.launch_description_sources import get_launch_description_from_python_launch_file

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.mark.parametrize("file", ["forecast.launch.py", "demo.launch.py", "policy.launch.py"])
def test_every_argument_is_described(file):
    description = get_launch_description_from_python_launch_file(str(LAUNCH / file))

    arguments = description.get_launch_arguments(LaunchContext())
    assert arguments
    assert all(argument.description for argument in arguments)
