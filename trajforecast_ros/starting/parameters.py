"""A node's parameters as a frozen dataclass: each field a name, a default and, in its metadata, what it means.

The same dataclass declares them on the node, describes them for --help, and tells the command line which are text.
"""

import sys
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

Parameters = TypeVar("Parameters")

TYPE_NAMES = {str: "string", bool: "bool", int: "integer", float: "double", list: "string[]"}
# By the default's type: what a value must be, and how it is written.
_WANTED = {
    str: 'text; put it into quotes, as in "on" or "123"',
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list of names, as in [side, effector]",
}


def meaning(
    description: str,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    reload: bool = False,
) -> dict:
    """A field's metadata.

    Args:
        low, high: the range of a number; without a `high` it goes on for ever.
        reload: it can only change while the node is unconfigured.
    """
    return {"description": description, "choices": choices, "low": low, "high": high, "reload": reload}


def default_of(item: Field) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def declare(node: Node, kind: type[Parameters], read_only: bool = False) -> Parameters:
    """Declares every parameter on the node and reads it. A whole number is taken where any number is wanted.

    Args:
        kind: a dataclass whose fields have `meaning` as their metadata.
        read_only: the node reads them now and never again, so that later changes are to be refused.

    Raises:
        ValueError: for a wrong type, a number out of range, and a value that is none of the choices.
    """
    return kind(**{item.name: _declare(node, item, read_only) for item in fields(kind)})


def check_choices(parameters: Any) -> None:
    """Raises ValueError for a value that is none of its field's choices."""
    for item in fields(parameters):
        value, choices = getattr(parameters, item.name), item.metadata["choices"]
        if choices and value not in choices:
            raise ValueError(f"parameter {item.name} is {value!r}; choose one of {', '.join(choices)}")


def take_whole_numbers_where_any_will_do(node: Node, kind: type) -> None:
    """For changes while the node runs: `ros2 param set` sends 30 as an integer, whatever the parameter's type."""
    doubles = {item.name for item in fields(kind) if isinstance(default_of(item), float)}

    def converted(given: list[Parameter]) -> list[Parameter]:
        return [
            Parameter(parameter.name, value=float(parameter.value))
            if parameter.name in doubles and type(parameter.value) is int
            else parameter
            for parameter in given
        ]

    node.add_pre_set_parameters_callback(converted)


def plain(value: Any) -> Any:
    """A list for the tuples and arrays in which rclpy hands arrays out."""
    return list(value) if isinstance(value, (tuple, list)) or hasattr(value, "tolist") else value


def _declare(node: Node, item: Field, read_only: bool) -> Any:
    value = default_of(item)
    # What was given under this name; rclpy tells nowhere else, without minding its type.
    given = node._parameter_overrides.get(item.name)
    if given is not None:
        value = _fitting(item.name, value, plain(given.value))
    try:
        declared = node.declare_parameter(item.name, value, _descriptor(item, read_only), ignore_override=True)
    except ParameterException as error:
        raise ValueError(f"parameter {item.name} ({item.metadata['description']}): {error}") from error
    return plain(declared.value)


def _fitting(name: str, default: Any, given: Any) -> Any:
    kind = type(default)
    if kind is float and type(given) is int:
        return float(given)
    if type(given) is not kind or (kind is list and not all(isinstance(entry, str) for entry in given)):
        raise ValueError(f"parameter {name} is {_shown(given)}; it must be {_WANTED[kind]}")
    return given


def _shown(value: Any) -> str:
    if value is None:
        return "an empty list"  # ROS knows no type of it
    if isinstance(value, bool):
        return f"{str(value).lower()}, a bool (YAML reads yes, no, on and off as such)"
    if isinstance(value, list):
        return f"the list [{', '.join(str(entry) for entry in value)}]"
    return f"{value!r}, {'text' if isinstance(value, str) else 'a number'}"


def _descriptor(item: Field, read_only: bool) -> ParameterDescriptor:
    low, high, choices = (item.metadata[key] for key in ("low", "high", "choices"))
    constraints = [f"one of {', '.join(choices)}"] if choices else []
    if item.metadata["reload"]:
        constraints.append("changes only while the node is unconfigured: clean up, set, configure")
    descriptor = ParameterDescriptor(
        description=item.metadata["description"],
        additional_constraints="; ".join(constraints),
        read_only=read_only,
    )
    if low is not None and isinstance(item.default, int):
        high = 2**63 - 1 if high is None else high
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
    elif low is not None:
        high = sys.float_info.max if high is None else high
        descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)]
    return descriptor
