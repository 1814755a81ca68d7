"""What is said on a node's command line: text arrives as it was said, and what nobody reads is refused."""

from dataclasses import dataclass, field

import pytest
import yaml

from trajforecast_ros.forecast.forecast_node import COMMAND as FORECAST
from trajforecast_ros.policy.policy_node import COMMAND as POLICY
from trajforecast_ros.policy.simulator_node import COMMAND as SIMULATOR
from trajforecast_ros.recording.record_node import COMMAND as RECORD
from trajforecast_ros.recording.replay_node import COMMAND as REPLAY
from trajforecast_ros.starting.arguments import Command, help_wanted, quoted, understand, usage
from trajforecast_ros.starting.parameters import meaning

COMMANDS = [FORECAST, POLICY, SIMULATOR, RECORD, REPLAY]


@dataclass(frozen=True)
class Spoken:
    instruction: str = field(default="", metadata=meaning("What to do"))
    views: list[str] = field(default_factory=lambda: ["side"], metadata=meaning("Cameras"))
    speed: float = field(default=1.0, metadata=meaning("How fast", low=0.0))


COMMAND = Command("a_node", "Does what it is told.", Spoken)

SAID = [
    "pick up #3 from the tray",
    "put it in: the basket",
    "[careful] lift",
    "- a - b",
    "{a: b}",
    "*x",
    "&x lift",
    "!now lift",
    "% of it",
    "@home, `now`",
    "? what",
    "| pipe",
    "> 5",
    "on",
    "yes",
    "null",
    "~",
    "123",
    "1.5",
    "1e3",
    ".inf",
    "0x10",
    "2024-01-01",
    "",
    " ",
    "  two  spaces  ",
    "it's here",
    'the "red" one',
    '"a" and "b"',
    '"a" #b "c"',
    "'a' or 'b'",
    r"C:\new\table",
    r'"\d"',
    "two\nlines\n",
    "tab\there",
    "nimm die Tür auf, 牛乳を取って 🥛",
    "\x7f\x85\u2028\ufeff",
    "a:=b",
    "--ros-args",
    "long " * 1000,
]


def read_as_yaml(rule: str) -> object:
    return yaml.safe_load(rule.partition(":=")[2])


@pytest.mark.parametrize("option", ["-p", "--param"])
@pytest.mark.parametrize("text", SAID)
def test_text_arrives_as_it_was_said(option, text):
    given = ["a_node", "--ros-args", option, f"instruction:={text}"]
    *before, rule = understand(given, COMMAND).arguments

    assert before == given[:-1]
    assert rule.startswith("instruction:=") and rule.isascii() and "\n" not in rule
    assert read_as_yaml(rule) == text


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('"pick up #3"', "pick up #3"),
        ("'it''s: here'", "it's: here"),
        (r'"two\nlines \u00fc"', "two\nlines ü"),
        ("!!str 12", "12"),
        ("!!str pick up #3", "pick up #3"),
        ('""', ""),
    ],
)
def test_text_that_is_in_yamls_quotes_already_means_its_content(text, content):
    assert yaml.safe_load(quoted(text)) == content


def test_names_in_a_list_are_text_too():
    [*_, rule] = understand(["a_node", "--ros-args", "-p", "views:=[side, on, 1]"], COMMAND).arguments

    assert read_as_yaml(rule) == ["side", "on", "1"]


def test_what_is_no_text_and_what_is_ros_s_own_is_left_alone():
    given = ["a_node", "--ros-args", "-p", "speed:=2", "-r", "a:=b", "-p", "use_sim_time:=true", "--log-level", "debug"]
    given += ["-p", "qos_overrides./side/image_raw.subscription.reliability:=reliable", "--disable-rosout-logs"]

    assert understand([*given, "--"], COMMAND).arguments == given
    assert understand(["a_node"], COMMAND).arguments == ["a_node"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("-p instruction:=lift", "a_node --ros-args -p instruction:=lift"),
        ("--param instruction:=lift", "a_node --ros-args --param instruction:=lift"),
        ("instruction:=lift", "a_node --ros-args -p instruction:=lift"),
        ("side/image_raw:=/front", "a_node --ros-args -r side/image_raw:=/front"),
        ("__ns:=/robot1", "a_node --ros-args -r __ns:=/robot1"),
        ("-r __ns:=/robot1 --ros-args", "a_node --ros-args -r __ns:=/robot1"),
        ("--params-file some.yaml", "a_node --ros-args --params-file some.yaml"),
        ("--instruction lift", "-p instruction:=VALUE"),
        ("--instrution=lift", "-p instruction:=VALUE"),
        ("--verbose", "unknown option --verbose"),
        ("lift", "'lift'"),
        ("--ros-args -p instruction:=lift -- lift", "'lift'"),
        ("--ros-args -p instrution:=lift", "did you mean instruction?"),
        ("--ros-args -p frame_rate:=3", "instruction, views, speed"),
        ("--ros-args -p instruction", "NAME:=VALUE"),
        ("--ros-args -p instruction=lift", "NAME:=VALUE"),
        ("--ros-args -p", "its value is missing"),
        ("--ros-args -p instruction:=pick up the milk", "quotes"),
        ("--ros-args -p other_node:instruction:=lift", "/other_node"),
        ("--ros-args -r __node:=other -p a_node:instruction:=lift", "/other"),
        ("--ros-args -r __ns:=/robot1 -p a_node:instruction:=lift", "/robot1/a_node"),
        ("--ros-args -p views:=[side", "no YAML list"),
        ("--ros-args -p instruction:=\udcff", "UTF-8"),
    ],
)
def test_what_nobody_would_read_is_refused_with_the_remedy(given, complaint):
    with pytest.raises(ValueError) as refused:
        understand(["a_node", *given.split(" ")], COMMAND)

    assert complaint in str(refused.value)


def test_parameters_for_this_node_by_its_name_are_taken():
    for given in (["-p", "a_node:instruction:=on"], ["-r", "a_node:__node:=b", "-p", "b:instruction:=on"]):
        rule = understand(["a_node", "--ros-args", *given], COMMAND).arguments[-1]
        assert rule.endswith('instruction:="on"')


@pytest.mark.parametrize("given", [["--help"], ["-h"], ["--ros-args", "--help"], ["-x", "--help", "--ros-args"]])
def test_help_is_seen_wherever_it_stands(given):
    assert help_wanted(["a_node", *given])


def test_a_value_is_no_cry_for_help():
    assert not help_wanted(["a_node", "--ros-args", "-p", "--help"])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_node_says_how_it_is_used(command):
    text = usage(command)

    assert text.startswith(f"usage: {command.name} [--ros-args")
    for name, item in command.parameters.__dataclass_fields__.items():
        assert f"  {name} (" in text and item.metadata["description"] in text
