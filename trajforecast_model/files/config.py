"""Typed configs: small dataclasses read from YAML or JSON, where an unknown key is an error."""

import contextlib
import dataclasses
import difflib
import math
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from trajforecast_model.files.paths import all_expanded, expanded

Config = TypeVar("Config")


def from_dict(cls: type[Config], values: dict[str, Any], where: str = "") -> Config:
    """Builds the dataclass `cls` from a nested dict.

    Raises:
        ValueError: for an unknown key (with the nearest known one), a missing key or a value of the wrong type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where or 'config'}: expected a mapping of settings, got {type(values).__name__}")
    types_by_name = typing.get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]
    for key in values:
        if key not in known:
            raise ValueError(_unknown_key(f"{where}{key}", key, known))
    arguments = {key: _convert(types_by_name[key], value, f"{where}{key}") for key, value in values.items()}
    required = [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in arguments]
    if missing:
        raise ValueError(f"{where or 'config'}: missing {', '.join(missing)}; add a value for each")
    return cls(**arguments)


def to_dict(config: Any) -> dict[str, Any]:
    """The nested plain dict of a config, tuples as lists, ready for JSON or YAML."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(config, dict_factory=_plain).items()
    }


def defaults(config: Any, group: str = "") -> dict[str, Any]:
    """What the settings of a config are where nothing is said of them, by full names such as "optimisation.compile"."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= defaults(value, f"{group}{field.name}.")
        elif field.default is not dataclasses.MISSING:
            default = field.default
            found[f"{group}{field.name}"] = list(default) if isinstance(default, tuple) else default
    return found


def check_at_least(least: float, config: Any, *names: str, group: str = "") -> None:
    """Raises ValueError where a number of the config is less than `least`, infinite or not a number.

    Args:
        group: what stands before the names where the config is a group of another's settings, such as "logging.".
    """
    for name in names:
        value = getattr(config, name)
        if not least <= value < math.inf:
            raise ValueError(f"{group}{name}: got {value!r}, expected at least {least}")


def load(cls: type[Config], path: str | Path, overrides: list[str] | None = None) -> Config:
    """Reads a YAML file into `cls`, then applies `a.b=value` overrides (values are YAML).

    `extends: other.yaml` in a file takes over the settings of another, named relative to it, except what it says itself;
    groups of settings are merged, all else is replaced.

    Raises:
        ValueError: for a missing file, text that is not YAML, an unknown key or a wrong type.
    """
    values = _read(expanded(path))
    for override in overrides or []:
        apply_override(values, override)
    try:
        return from_dict(cls, all_expanded(values))
    except ValueError as error:
        raise ValueError(f"config file {path}: {error}") from error


def _read(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    if not path.is_file():
        wanted_by = f"; {extended_by[-1]} extends it" if extended_by else ""
        raise ValueError(f"config file {path} does not exist{wanted_by}")
    if path.resolve() in extended_by:
        raise ValueError(f"config file {path} extends itself, by way of {extended_by[-1]}")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"config file {path} is not readable YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"config file {path}: expected a mapping of settings, got {type(values).__name__}")
    if "extends" not in values:
        return values
    base = values.pop("extends")
    if not isinstance(base, str):
        raise ValueError(f"config file {path}: extends: expected the name of a file, got {base!r}")
    return _merged(_read(path.parent / expanded(base), (*extended_by, path.resolve())), values)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = base | changes
    for name in base.keys() & changes.keys():
        if isinstance(base[name], dict) and isinstance(changes[name], dict):
            merged[name] = _merged(base[name], changes[name])
    return merged


def apply_override(values: dict[str, Any], override: str) -> None:
    """Sets one of `values`, nested by the dots of its name. Raises ValueError for anything but `a.b=value`."""
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ValueError(f"--set {override!r}: expected a.b=value")
    *parents, last = name.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {override!r}: {parent!r} is a value, not a group of settings")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {override!r}: {text!r} is not readable YAML: {error}") from error


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in items}


def _unknown_key(path: str, key: Any, known: list[str]) -> str:
    nearest = difflib.get_close_matches(str(key), known, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known keys: {', '.join(known)}"
    return f"unknown key {path!r}{hint}"


def _convert(expected: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(expected)
    arguments = typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        remaining = [argument for argument in arguments if argument is not type(None)]
        return _convert(remaining[0], value, where)
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{where}: got {value!r}, expected one of {', '.join(map(repr, arguments))}")
        return value
    if dataclasses.is_dataclass(expected):
        return from_dict(expected, value, f"{where}.")
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where}: expected a list, got {value!r}")
        if origin is tuple and arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ValueError(f"{where}: expected {len(arguments)} values, got {len(value)}")
        return origin(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where}: expected a mapping, got {value!r}")
        return {key: _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if expected is float and isinstance(value, str):
        # YAML 1.1 reads 6e-5 (no dot) as text.
        with contextlib.suppress(ValueError):
            value = float(value)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ValueError(f"{where}: expected {expected.__name__}, got {value!r}")
    return value
