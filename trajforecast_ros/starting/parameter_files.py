"""Parameter files, looked at before ROS reads them: what they say and ROS would not take is named.

A file may well be for many nodes, so parameters for others are no mistake; one that has nothing for this node is.
"""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import yaml

from trajforecast_ros.starting.names import ROS_WIDE, nearest
from trajforecast_ros.starting.parameters import default_of

QUOTES = 'put the text into quotes, as in instruction: "pick up #3"'


def check(path: str, node: str, parameters: type) -> list[str]:
    """What is worth a warning in a parameter file.

    Args:
        node: the full name of the node that reads it.
        parameters: the dataclass of its parameters.

    Raises:
        ValueError: for a file that cannot be read, and for text of which YAML would drop a part.
    """
    text = _read(path)
    sections = list(_sections(_composed(path, text)))
    ours = [values for name, values in sections if _is_for(name, node)]
    if sections and not ours:
        others = ", ".join(dict.fromkeys(name for name, _ in sections))
        return [f"parameter file {path} is for {others}; nothing in it is for this node, {node}"]
    known = {item.name: item for item in fields(parameters)}
    unknown = []
    for name, value in (pair for values in ours for pair in _flat(values)):
        if name in known:
            if isinstance(value, yaml.ScalarNode):
                is_text = isinstance(default_of(known[name]), str)
                _check_scalar(f"parameter file {path}, line {value.start_mark.line + 1}", name, value, text, is_text)
        elif not ROS_WIDE.fullmatch(name):
            hint = nearest(name, known)
            unknown.append(f"{name} (did you mean {hint}?)" if hint else name)
    if not unknown:
        return []
    return [f"parameter file {path}: node {node} has no parameter {', '.join(unknown)}"]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"parameter file {path} cannot be read: {error}") from error


def _composed(path: str, text: str) -> yaml.Node | None:
    """The file's nodes: unlike values they know where they stand and how they are written."""
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(
            f"parameter file {path}{line} is no YAML: {error.problem}; if that is text, {QUOTES}"
        ) from error
    except yaml.YAMLError as error:
        raise ValueError(f"parameter file {path} is no YAML: {error}") from error


def _sections(node: yaml.Node | None, name: str = "") -> Iterator[tuple[str, yaml.MappingNode]]:
    """Each node name of the file, as /robot1/forecast_node, with what stands under its ros__parameters."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.value == "ros__parameters":
            if isinstance(value, yaml.MappingNode):
                yield name or "/", value
        elif isinstance(key.value, str):
            yield from _sections(value, f"{name}/{key.value.strip('/')}")


def _is_for(section: str, node: str) -> bool:
    wildcards = {"**": "(/[^/]+)*", "*": "/[^/]+"}
    parts = section.strip("/").split("/")
    return re.fullmatch("".join(wildcards.get(part, "/" + re.escape(part)) for part in parts), node) is not None


def _flat(values: yaml.MappingNode, prefix: str = "") -> Iterator[tuple[str, yaml.Node]]:
    for key, value in values.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, yaml.MappingNode):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _check_scalar(where: str, name: str, value: yaml.ScalarNode, text: str, is_text: bool) -> None:
    if value.style is not None:
        return
    written = text[value.start_mark.index : value.end_mark.index]
    if not written:
        raise ValueError(f'{where}: parameter {name} has no value; an empty text is ""')
    if not is_text:
        return
    if written[0] in "&!" and not written.startswith("!!str "):
        raise ValueError(f"{where}: YAML reads what begins with {written[0]!r} as something of its own; {QUOTES}")
    after = text[value.end_mark.index :].partition("\n")[0]
    if re.match(r"\s+#\S", after):
        raise ValueError(
            f"{where}: YAML takes {after.strip()!r} for a comment and {name} for {value.value!r} alone; {QUOTES}; if it is "
            "a comment, put a space behind its #"
        )
