"""The launch files load and describe their arguments; run where ROS 2's launch is installed."""

from pathlib import Path

import pytest

pytest.importorskip("launch_ros")

from launch import LaunchContext
from launch.launch_description_sources import (
    get_launch_description_from_python_launch_file,
    load_python_launch_file_as_module,
)
from launch_ros.utilities import evaluate_parameters, normalize_parameters

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.mark.parametrize("file", ["forecast.launch.py", "demo.launch.py", "policy.launch.py"])
def test_every_argument_is_described(file):
    description = get_launch_description_from_python_launch_file(str(LAUNCH / file))

    arguments = description.get_launch_arguments()
    assert arguments
    assert all(argument.description for argument in arguments)


def forecast_launch(monkeypatch, given: dict[str, str]):
    """The module, and a context in which its arguments have these values."""
    module = load_python_launch_file_as_module(str(LAUNCH / "forecast.launch.py"))
    monkeypatch.setattr(module, "LifecycleNode", dict)
    context = LaunchContext()
    arguments = module.generate_launch_description().get_launch_arguments()
    context.launch_configurations.update({argument.name: "" for argument in arguments} | given)
    return module, context


@pytest.mark.parametrize("given", [{}, {"use_sim_time": "true"}, {"num_samples": "4", "use_sim_time": "false"}])
def test_what_is_not_given_is_left_to_the_parameter_file(given, monkeypatch):
    module, context = forecast_launch(monkeypatch, given)

    [node] = module._forecast_node(context)
    _, chosen = node["parameters"]
    assert chosen.keys() == given.keys()


@pytest.mark.parametrize("text", ["pick up #3", "put it in: the basket", "[careful] lift", "on", "123", "1.5", "null"])
def test_text_is_text_to_the_node_whatever_yaml_would_make_of_it(text, monkeypatch):
    module, context = forecast_launch(monkeypatch, {"instruction": text, "max_rate": "30"})

    [node] = module._forecast_node(context)
    [chosen] = evaluate_parameters(context, normalize_parameters(node["parameters"][1:]))
    assert dict(chosen) == {"instruction": text, "max_rate": 30.0}


@pytest.mark.parametrize(("name", "meant"), [("instrution", "instruction"), ("num_sample", "num_samples")])
def test_an_argument_that_is_nearly_one_of_ours_is_named(name, meant, monkeypatch):
    module, context = forecast_launch(monkeypatch, {name: "x", "speed": "1.0", "task": "3"})
    known = [argument.name for argument in module.generate_launch_description().get_launch_arguments()]

    [note] = module._misspelt(context, known)
    assert [f"nobody reads the argument {name}; did you mean {meant}?"] == [part.text for part in note.msg]


def test_a_trained_policy_brings_its_forecaster_and_runs_in_place_of_the_example(monkeypatch):
    module = load_python_launch_file_as_module(str(LAUNCH / "policy.launch.py"))
    needed = {"checkpoint": "the_forecaster", "num_samples": 2, "solver_steps": 0}
    monkeypatch.setattr("trajforecast_ros.policy.forecast_parameters.forecast_parameters", lambda policy: needed)
    monkeypatch.setattr(module, "Node", dict)
    context = LaunchContext()
    context.launch_configurations.update({"policy": "runs/policy", "num_samples": "4"})
    module._as_the_policy_needs(context)
    assert context.launch_configurations["checkpoint"] == "the_forecaster"
    assert context.launch_configurations["num_samples"] == "4", "what is given wins"
    assert [node["executable"] for node in module._policy(context)] == ["track_policy_node"]
    context.launch_configurations["policy"] = ""
    assert [node["executable"] for node in module._policy(context)] == ["policy_node"]
