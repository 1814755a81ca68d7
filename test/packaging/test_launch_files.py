"""The launch files load and describe their arguments; run where ROS 2's launch is installed."""

from pathlib import Path

import pytest

pytest.importorskip("launch_ros")

from launch import LaunchContext
from launch.launch_description_sources import (
    get_launch_description_from_python_launch_file,
    load_python_launch_file_as_module,
)

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.mark.parametrize("file", ["forecast.launch.py", "demo.launch.py", "policy.launch.py"])
def test_every_argument_is_described(file):
    description = get_launch_description_from_python_launch_file(str(LAUNCH / file))

    arguments = description.get_launch_arguments()
    assert arguments
    assert all(argument.description for argument in arguments)


@pytest.mark.parametrize("given", [{}, {"use_sim_time": "true"}, {"num_samples": "4", "use_sim_time": "false"}])
def test_what_is_not_given_is_left_to_the_parameter_file(given, monkeypatch):
    module = load_python_launch_file_as_module(str(LAUNCH / "forecast.launch.py"))
    monkeypatch.setattr(module, "LifecycleNode", dict)
    context = LaunchContext()
    arguments = module.generate_launch_description().get_launch_arguments()
    context.launch_configurations.update({argument.name: "" for argument in arguments} | given)

    [node] = module._forecast_node(context)
    _, chosen = node["parameters"]
    assert chosen.keys() == given.keys()
