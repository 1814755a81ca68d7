"""What real nodes make of what they are given at the start."""

import os
import signal
import subprocess
import sys

import pytest
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from robot import NODE, settings
from test_arguments import COMMAND, SAID, Spoken

from trajforecast_ros.starting.arguments import understand
from trajforecast_ros.starting.parameters import declare, take_whole_numbers_where_any_will_do

POLICY = "trajforecast_ros.policy.policy_node"


@pytest.fixture
def declared():
    """What a real node declares when it is started with these arguments."""
    context, nodes = Context(), []

    def start(*arguments: str, **options) -> Spoken:
        context.init(understand(["a_node", "--ros-args", *arguments], COMMAND).arguments, initialize_logging=False)
        nodes.append(Node("a_node", context=context))
        return declare(nodes[-1], Spoken, **options)

    yield start
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize("text", SAID)
def test_ros_itself_reads_what_was_said(declared, text):
    assert declared("-p", f"instruction:={text}", "-p", "views:=[on, 2]") == Spoken(text, ["on", "2"])


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("instruction: on", "parameter instruction is true, a bool"),
        ("instruction: 123", "parameter instruction is 123, a number"),
        ("instruction: 1.5", "parameter instruction is 1.5, a number"),
        ("instruction: [careful]", "parameter instruction is the list [careful]"),
        ("instruction: []", "parameter instruction is an empty list"),
        ("views: side", "parameter views is 'side', text; it must be a list of names, as in [side, effector]"),
        ("views: [1, 2]", "parameter views is the list [1, 2]"),
        ("views: []", "parameter views is an empty list"),
        ("speed: fast", "parameter speed is 'fast', text; it must be a number"),
        ("speed: true", "parameter speed is true, a bool"),
        ("speed: -1", "speed"),
    ],
)
def test_another_type_is_told_by_name_with_the_remedy(declared, tmp_path, line, complaint):
    path = tmp_path / "some.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n    {line}\n")

    with pytest.raises(ValueError) as refused:
        declared("--params-file", str(path))
    assert complaint in str(refused.value)


def test_a_whole_number_is_taken_where_any_number_is_wanted(declared):
    speed = declared("-p", "speed:=2").speed
    assert (speed, type(speed)) == (2.0, float)


def test_so_it_is_while_the_node_runs(listener):
    declare(listener.node, Spoken)
    take_whole_numbers_where_any_will_do(listener.node, Spoken)
    client = listener.node.create_client(SetParameters, f"/{listener.node.get_name()}/set_parameters")

    [result] = listener.call(
        client, SetParameters.Request(parameters=[Parameter("speed", value=3).to_parameter_msg()])
    ).results
    assert result.successful, result.reason
    assert listener.node.get_parameter("speed").value == 3.0


def test_what_a_node_reads_once_cannot_be_changed_in_vain(ros):
    node = Node("reads_once")
    declare(node, Spoken, read_only=True)

    [result] = node.set_parameters([Parameter("speed", value=3.0)])
    node.destroy_node()
    assert not result.successful and "read-only" in result.reason


def run_node(*arguments: str, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", POLICY, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_help_is_printed_and_nothing_started():
    asked = run_node("--help")
    assert asked.returncode == 0 and "lookahead (integer, default 4, from 1)" in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["-p", "gain:=2"], {}, "policy_node --ros-args -p gain:=2"),
        (["--ros-args", "-p", "gian:=2"], {}, "did you mean gain?"),
        (["--ros-args", "--parms-file", "x"], {}, "did you mean --params-file?"),
        ([], {"ROS_LOG_DIR": "/proc/nowhere"}, "/proc/nowhere (ROS_LOG_DIR)"),
        ([], {"ROS_LOG_DIR": "/proc"}, "/proc (ROS_LOG_DIR)"),
        ([], {"ROS_HOME": "/dev/null", "ROS_LOG_DIR": ""}, "/dev/null/log (ROS_HOME)"),
        ([], {"HOME": "/dev/null", "ROS_LOG_DIR": "", "ROS_HOME": ""}, "/dev/null/.ros/log (HOME)"),
        ([], {"ROS_DOMAIN_ID": "300"}, "domains go from 0 to 232"),
        ([], {"ROS_DOMAIN_ID": "mine"}, "ROS_DOMAIN_ID=mine"),
        ([], {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}, "ROS_SECURITY_ENABLE=true"),
    ],
)
def test_what_is_in_the_way_of_a_start_is_told_in_one_line(arguments, environment, complaint):
    ended = run_node(*arguments, **environment)

    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert complaint in line


def test_a_node_says_its_instruction_at_the_start_whole(start_node, listener, tiny_checkpoint):
    text = 'pick up #3: the "red" one, 牛乳'
    node = start_node(NODE, settings(tiny_checkpoint, autostart=False, instruction=text))

    listener.wait_for(lambda: node.said(f"instruction: {text}"), "the instruction in the log")
    assert node.stop(signal.SIGINT) == 0
