"""The text of a message type and of all types in it, as rosbag2 keeps it in a bag.

Whoever reads the bag needs neither the package nor ROS then.
"""

import re
from importlib import import_module
from pathlib import Path

SEPARATOR = "=" * 80
_FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+")
_PRIMITIVES = {"bool", "byte", "char", "string", "wstring", "float32", "float64"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def message_class(type_name: str) -> type:
    """The Python class of sensor_msgs/msg/Image, say.

    Raises:
        LookupError: when that package is not installed here.
    """
    package, _, name = type_name.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise LookupError(f"{type_name} is not installed here ({error})") from error


def message_definition(type_name: str) -> str:
    """The definition of sensor_msgs/msg/Image, say; "" where its package came without the text."""
    texts = {}
    to_do = [type_name]
    while to_do:
        name = to_do.pop(0)
        if name not in texts:
            texts[name] = _text(name)
            to_do += _types_in(texts[name], name.split("/")[0])
    if not all(texts.values()):
        return ""
    first, *others = texts.items()
    return first[1] + "".join(f"\n{SEPARATOR}\nMSG: {name.replace('/msg/', '/')}\n{text}" for name, text in others)


def _text(type_name: str) -> str:
    """What share/<package>/msg says, in the prefix where the package's Python lies: the ament index needs an environment
    variable, which the wheels do not set."""
    package, _, name = type_name.split("/")
    try:
        python = Path(import_module(package).__file__)
    except ImportError:
        return ""
    for prefix in python.parents:
        text = prefix / "share" / package / "msg" / f"{name}.msg"
        if text.is_file():
            return text.read_text()
    return ""


def _types_in(text: str, package: str) -> list[str]:
    found = []
    for line in text.splitlines():
        match = _FIELD.match(line.split("#")[0])
        if match and match[1] not in _PRIMITIVES:
            *where, name = match[1].split("/")
            found.append(f"{where[0] if where else package}/msg/{name}")
    return found
