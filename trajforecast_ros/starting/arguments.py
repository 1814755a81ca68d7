"""A node's command line, looked at before ROS does.

ROS reads every value as YAML, which makes something else of much that people say ("pick up #3", "on", "put it in: the
basket"), and passes over what it does not know. Here text becomes text, and what nobody would read is refused.
"""

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from itertools import pairwise

import yaml

from trajforecast_ros.starting import parameter_files
from trajforecast_ros.starting.names import PARAMETER, PARAMETER_FILE, REMAP, ROS_WIDE, TAKING_A_VALUE, nearest
from trajforecast_ros.starting.parameters import TYPE_NAMES, default_of

_HELP = ("-h", "--help")

_DOUBLE_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SINGLE_QUOTED = re.compile(r"'(?:[^']|'')*'", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A node as a program: its name, what it does, and the dataclass of its parameters (see parameters.py)."""

    name: str
    purpose: str
    parameters: type


@dataclass(frozen=True)
class Understood:
    arguments: list[str]  # for ROS
    warnings: list[str]


def help_wanted(arguments: list[str]) -> bool:
    return any(word in _HELP and before not in TAKING_A_VALUE for before, word in pairwise(arguments))


def usage(command: Command) -> str:
    """What --help prints."""
    lines = [
        f"usage: {command.name} [--ros-args [-p NAME:=VALUE]... [--params-file FILE]... [-r FROM:=TO]...]",
        "",
        " ".join(command.purpose.split()),
        "",
        "parameters (-p):",
    ]
    for item in fields(command.parameters):
        lines += [f"  {item.name} ({_type_and_range(item)})", f"      {item.metadata['description']}"]
    lines += [
        "  use_sim_time (bool, default false)",
        "      Take the time from /clock",
        "",
        f"example: {command.name} --ros-args -r __ns:=/robot1 -p {_example(command)}",
    ]
    return "\n".join(lines)


def understand(arguments: list[str], command: Command) -> Understood:
    """The arguments as ROS is to be given them: text in YAML's quotes, all else as it came.

    Args:
        arguments: the program's name first, as in sys.argv.

    Raises:
        ValueError: for what nobody would read, and for a parameter file that ROS cannot read or would read as less
            than it says.
    """
    for word in arguments:
        if not _is_unicode(word):
            raise ValueError(f"the argument {word!r} is not UTF-8; check the terminal's encoding (locale)")
    rules = list(_ros_arguments(arguments[1:], command))
    node = _full_name([value for option, value in rules if option in REMAP], command.name)
    understood, warnings = list(arguments[:1]), []
    if rules:
        understood.append("--ros-args")
    for option, value in rules:
        if option in PARAMETER:
            value = _parameter_rule(option, value, node, command)
        elif option == PARAMETER_FILE and value is not None:
            warnings += parameter_files.check(value, node, command.parameters)
        understood += [option] if value is None else [option, value]
    return Understood(understood, warnings)


def quoted(text: str) -> str:
    """The text as a YAML scalar that is read as exactly this text. One that is a YAML string already means its content.

    Escaped to ASCII, because YAML takes not every character as it is.
    """
    if text.startswith("!!str "):
        return quoted(text.removeprefix("!!str "))
    if _DOUBLE_QUOTED.fullmatch(text) or _SINGLE_QUOTED.fullmatch(text):
        # A backslash that YAML does not know is no YAML: then the quotes are part of what was said.
        with contextlib.suppress(yaml.YAMLError):
            text = yaml.safe_load(text)
    return yaml.safe_dump(text, default_style='"', width=sys.maxsize).rstrip("\n")


def _ros_arguments(words: list[str], command: Command) -> Iterator[tuple[str, str | None]]:
    """Each option between --ros-args and -- with its value; None for one that takes none, or that ROS may know."""
    inside, unknown, position = False, False, 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--ros-args":
            inside = True
        elif not inside:
            raise ValueError(_why_nobody_reads(words[position - 1 :], command))
        elif word == "--":
            inside = False
        elif word in TAKING_A_VALUE:
            if position == len(words):
                raise ValueError(f"{word} is the last argument, and its value is missing")
            yield word, words[position]
            position += 1
        elif word.startswith("-") or unknown:
            unknown = True  # ROS refuses it, or knows it in a version newer than this
            yield word, None
        else:
            raise ValueError(
                f"{word!r} belongs to no option; a value with spaces needs the shell's quotes, as in -p {_example(command)}"
            )


def _why_nobody_reads(words: list[str], command: Command) -> str:
    word, known = words[0], [item.name for item in fields(command.parameters)]
    if word in TAKING_A_VALUE or ":=" in word:
        rule = " ".join(words[:2]) if word in TAKING_A_VALUE else word
        option = "" if rule != word else "-p " if nearest(word.partition(":=")[0], known) else "-r "
        given = f"{option}{_for_the_shell(rule)}"
        return f"unknown argument {rule!r}: nobody reads it outside of --ros-args; write: {command.name} --ros-args {given}"
    if word.startswith("-"):
        name = nearest(word.lstrip("-").partition("=")[0].replace("-", "_"), known)
        if name:
            return f"unknown option {word}; parameters are given as --ros-args -p {name}:=VALUE"
        return f"unknown option {word}; {command.name} --help tells what there is"
    return f"unknown argument {word!r}; {command.name} --help tells what there is"


def _parameter_rule(option: str, rule: str, node: str, command: Command) -> str:
    target, separator, value = rule.partition(":=")
    if not separator:
        raise ValueError(f"{option} {rule}: expected NAME:=VALUE, as in -p {_example(command)}")
    prefix, _, name = target.rpartition(":")
    if prefix and f"/{prefix}" != node:
        raise ValueError(
            f"{option} {rule} is for a node /{prefix}, and this one is {node}; without {prefix!r}: it is for this one"
        )
    known = {item.name: item for item in fields(command.parameters)}
    if name in known:
        return f"{target}:={_value(value, known[name])}"
    if ROS_WIDE.fullmatch(name):
        return rule
    hint = nearest(name, known)
    raise ValueError(
        f"{option} {rule}: {command.name} has no parameter {name!r}; "
        + (f"did you mean {hint}?" if hint else f"it has {', '.join(known)}")
    )


def _value(value: str, item: Field) -> str:
    default = default_of(item)
    if isinstance(default, str):
        return quoted(value)
    if isinstance(default, list):
        try:
            entries = yaml.load(value, yaml.BaseLoader)  # which takes every scalar as text
        except yaml.YAMLError as error:
            raise ValueError(f"parameter {item.name}: {value!r} is no YAML list, as [side, effector] is") from error
        if isinstance(entries, list) and all(isinstance(entry, str) for entry in entries):
            return f"[{', '.join(quoted(entry) for entry in entries)}]"
    return value


def _full_name(remappings: list[str], name: str) -> str:
    """The node's name with its namespace, as the -r rules make it; of two for the same the first counts."""
    given: dict[str, str] = {}
    for rule in remappings:
        left, _, right = rule.partition(":=")
        prefix, _, what = left.rpartition(":")
        if prefix in ("", name):
            given.setdefault("__node" if what == "__name" else what, right)
    namespace = given.get("__ns", "").strip("/")
    return "/" + "/".join(part for part in (namespace, given.get("__node", name)) if part)


def _type_and_range(item: Field) -> str:
    default, choices = default_of(item), item.metadata["choices"]
    if isinstance(default, list):
        shown = f"[{', '.join(default)}]"
    elif isinstance(default, bool):
        shown = str(default).lower()
    else:
        shown = str(default) or "empty"
    parts = [TYPE_NAMES[type(default)], f"default {shown}"]
    if choices:
        parts.append(f"one of {', '.join(choices)}")
    if item.metadata["low"] is not None:
        low, high = item.metadata["low"], item.metadata["high"]
        parts.append(f"from {low}" if high is None else f"{low} to {high}")
    return ", ".join(parts)


def _example(command: Command) -> str:
    names = [item.name for item in fields(command.parameters)]
    if "instruction" in names:
        return 'instruction:="pick up the milk"'
    first = fields(command.parameters)[0]
    return f'{first.name}:="..."' if isinstance(default_of(first), str) else f"{first.name}:={default_of(first)}"


def _for_the_shell(rule: str) -> str:
    option, space, value = rule.partition(" ") if rule.startswith("-") else ("", "", rule)
    name, _, text = value.partition(":=")
    return f'{option}{space}{name}:="{text}"' if " " in text else rule


def _is_unicode(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
