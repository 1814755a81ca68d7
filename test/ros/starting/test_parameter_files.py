"""Parameter files that say something other than ROS would read, or something to somebody else."""

import pytest
from test_arguments import COMMAND

from trajforecast_ros.starting.arguments import understand


@pytest.fixture
def look_at(tmp_path):
    """Gives the warnings about a file with this text."""

    def look(text: str, *arguments: str) -> list[str]:
        path = tmp_path / "some.yaml"
        path.write_text(text)
        return understand(["a_node", "--ros-args", *arguments, "--params-file", str(path)], COMMAND).warnings

    return look


def for_all(*lines: str) -> str:
    return "/**:\n  ros__parameters:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("instruction: pick up #3", "'#3'"),
        ("instruction: put it in: the basket", "quotes"),
        ("instruction: [careful] lift", "quotes"),
        ("instruction: *x", "quotes"),
        ("instruction: &x lift", "'&'"),
        ("instruction: !now lift", "'!'"),
        ("instruction: % of it", "quotes"),
        ("instruction:", "no value"),
        ("speed:", "no value"),
    ],
)
def test_text_that_yaml_would_take_to_pieces_is_refused_with_its_line(look_at, line, complaint):
    with pytest.raises(ValueError) as refused:
        look_at(for_all(line))

    assert complaint in str(refused.value) and "some.yaml" in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        'instruction: "pick up #3"',
        "instruction: 'put it in: the basket' #said yesterday",
        "instruction: pick up the milk  # the default",
        "instruction: pick up no.#3",
        "instruction: !!str 12",
        "speed: 2 #fast",
        "use_sim_time: true",
        "views: [side]",
        "instruction: |\n      two\n      lines #3",
    ],
)
def test_what_yaml_reads_as_it_stands_is_taken(look_at, line):
    assert look_at(for_all(line)) == []


def test_a_file_that_is_not_there_or_no_text_is_refused(look_at, tmp_path):
    with pytest.raises(ValueError, match="no/such/file"):
        understand(["a_node", "--ros-args", "--params-file", "/no/such/file"], COMMAND)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="binary"):
        understand(["a_node", "--ros-args", "--params-file", str(tmp_path / "binary")], COMMAND)


NAMED = "{}:\n  ros__parameters:\n    instruction: lift\n"


@pytest.mark.parametrize(
    ("section", "arguments"),
    [
        ("/**", []),
        ("'**'", ["-r", "__ns:=/robot1"]),
        ("a_node", []),
        ("/a_node", []),
        ("/*/a_node", ["-r", "__ns:=/robot1"]),
        ("/**/a_node", []),
        ("/robot1/*", ["-r", "__ns:=/robot1"]),
        ("/robot1/other", ["-r", "__ns:=/robot1", "-r", "__node:=other"]),
        ("robot1:\n  a_node", ["-r", "__ns:=/robot1"]),
    ],
)
def test_a_section_for_this_node_is_found(look_at, section, arguments):
    text = NAMED.format(section).replace("a_node:\n  ros", "a_node:\n    ros").replace("    instr", "      instr")
    assert look_at(text, *arguments) == []


@pytest.mark.parametrize(
    ("section", "arguments"),
    [
        ("forecast_nod", []),
        ("a_node", ["-r", "__ns:=/robot1"]),
        ("a_node", ["-r", "__node:=other"]),
        ("/*/a_node", []),
        ("/robot2/**", ["-r", "__ns:=/robot1"]),
    ],
)
def test_a_file_with_nothing_for_this_node_is_named(look_at, section, arguments):
    [warning] = look_at(NAMED.format(section), *arguments)
    assert "nothing in it is for this node" in warning and section.strip("/") in warning


def test_a_file_for_many_nodes_is_no_mistake(look_at):
    assert look_at(NAMED.format("other") + NAMED.format("a_node")) == []


def test_parameters_that_this_node_has_not_are_named_with_the_nearest(look_at):
    [warning] = look_at(for_all("instrution: lift", "camera:", "  rate: 3"))
    assert "instrution (did you mean instruction?)" in warning and "camera.rate" in warning
