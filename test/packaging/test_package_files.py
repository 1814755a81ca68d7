"""What the package announces is what it holds."""

import ast
import configparser
import dataclasses
import importlib
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import yaml
from catkin_pkg.package import parse_package

from trajforecast_ros.forecast.parameters import ForecastParameters
from trajforecast_ros.resources import dds_settings

ROOT = Path(__file__).parents[2]


def setup_arguments() -> dict[str, ast.expr]:
    """The keyword arguments of setup.py's setup()."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"]
    return {keyword.arg: keyword.value for keyword in calls[0].keywords}


def test_package_xml_is_valid_and_names_what_the_nodes_use():
    package = parse_package(str(ROOT / "package.xml"))
    package.validate()
    names = {dependency.name for dependency in package.exec_depends}

    ros = {"rclpy", "sensor_msgs", "std_msgs", "std_srvs", "diagnostic_msgs", "visualization_msgs", "cv_bridge"}
    assert ros | {"trajforecast_msgs"} <= names
    assert {"python3-numpy", "python3-opencv", "python3-einops-pip", "python3-transformers-pip"} <= names
    assert [dependency.name for dependency in package.test_depends] == ["python3-pytest"]


def test_package_xml_names_every_ros_package_that_is_imported():
    files = [*(ROOT / "trajforecast_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]
    statements = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    imported = {node.module.split(".")[0] for node in statements if isinstance(node, ast.ImportFrom)}
    imported |= {name.name.split(".")[0] for node in statements if isinstance(node, ast.Import) for name in node.names}
    ros = {name for name in imported if name.endswith(("_msgs", "_interfaces", "_srvs", "launch", "_ros"))} | {"rclpy"}
    used_where_it_is_there = {"foxglove_msgs", "ffmpeg_image_transport_msgs"}

    depends = {dependency.name for dependency in parse_package(str(ROOT / "package.xml")).exec_depends}
    assert {"rosgraph_msgs", "launch_ros"} <= ros
    assert ros - used_where_it_is_there - {"trajforecast_ros"} <= depends


def test_versions_and_licenses_agree():
    setup = setup_arguments()
    packages = [parse_package(str(ROOT / folder / "package.xml")) for folder in (".", "trajforecast_msgs")]

    assert {package.version for package in packages} == {ast.literal_eval(setup["version"])}
    assert {tuple(package.licenses) for package in packages} == {(ast.literal_eval(setup["license"]),)}
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_every_executable_exists():
    scripts = ast.literal_eval(setup_arguments()["entry_points"])["console_scripts"]

    for script in scripts:
        module, function = script.split(" = ")[1].split(":")
        assert callable(getattr(importlib.import_module(module), function)), script


def test_executables_go_where_ros2_run_looks():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")

    assert config["install"]["install_scripts"] == config["develop"]["script_dir"] == "$base/lib/trajforecast_ros"


def test_parameter_file_holds_the_nodes_defaults():
    values = yaml.safe_load((ROOT / "config" / "forecast.yaml").read_text())["/**"]["ros__parameters"]

    assert values == dataclasses.asdict(ForecastParameters())


def test_dds_profile_is_there_and_lets_large_messages_through():
    [path] = set(dds_settings().values())
    namespace = {"dds": "http://www.eprosima.com"}
    size = ElementTree.parse(path).find(".//dds:segment_size", namespace)

    assert int(size.text) >= 16 * 2**20


def shown(default) -> str:
    if isinstance(default, list):
        return f"[{', '.join(default)}]"
    return str(default).lower() if isinstance(default, bool) else str(default) if default != "" else "(empty)"


def test_docs_name_every_parameter_with_its_default_and_type():
    text = (ROOT / "docs" / "ros.md").read_text()
    types = {str: "string", bool: "bool", int: "integer", float: "double", list: "string[]"}

    for name, default in dataclasses.asdict(ForecastParameters()).items():
        assert f"| `{name}` | {shown(default)} | {types[type(default)]} |" in text, name


def test_the_readmes_parameters_have_the_nodes_defaults():
    [table] = re.findall(
        r"^\| parameter \| default \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    defaults = dataclasses.asdict(ForecastParameters())

    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert len(rows) > 5
    assert {name: default for name, default, _ in rows} == {name: shown(defaults[name]) for name, _, _ in rows}
