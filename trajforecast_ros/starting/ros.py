"""Starting ROS itself, and saying what is in the way when it does not start."""

import os
import re
import tempfile
from pathlib import Path

import rclpy
from rclpy._rclpy_pybind11 import UnknownROSArgsError

from trajforecast_ros.starting.names import TAKING_A_VALUE, nearest

LAST_DOMAIN = 232
# What decides whether ROS starts, beside its arguments.
_ENVIRONMENT = ("ROS_DOMAIN_ID", "RMW_IMPLEMENTATION", "ROS_SECURITY_ENABLE", "ROS_SECURITY_KEYSTORE")


def start(arguments: list[str] | None) -> None:
    """rclpy.init.

    Raises:
        ValueError: when it fails, or a node could not be made afterwards; the message says over what.
    """
    _check_domain()
    try:
        rclpy.init(args=arguments)
    except UnknownROSArgsError as error:
        hints = [
            f"did you mean {hint}?"
            for word in re.findall("--[a-z-]+", str(error))
            if (hint := nearest(word, TAKING_A_VALUE))
        ]
        raise ValueError("; ".join([f"ROS does not take these arguments: {error}", *hints])) from error
    except Exception as error:
        raise ValueError(_explanation(error)) from error


def _check_domain() -> None:
    """Beforehand, because Fast DDS ends the process over it when a node is made."""
    domain = os.environ.get("ROS_DOMAIN_ID", "")
    if domain.isdecimal() and int(domain) > LAST_DOMAIN:
        raise ValueError(f"ROS_DOMAIN_ID is {domain}; domains go from 0 to {LAST_DOMAIN}, for each has network ports")


def _explanation(error: Exception) -> str:
    reason = str(error)
    if "parse" in reason:
        return f"ROS does not take these arguments: {reason}"
    return _trouble_with_the_log_folder() or f"ROS does not start: {reason}{_surroundings()}"


def _trouble_with_the_log_folder() -> str:
    try:
        folder, chosen_by = _log_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except KeyError:
        return "HOME is not set, so ROS has no folder for its logs; set HOME, or set ROS_LOG_DIR to a folder"
    except OSError as error:
        return (
            f"ROS cannot write its logs to {folder} ({chosen_by}): {error.strerror}; "
            "set ROS_LOG_DIR to a folder that can be written"
        )


def _log_folder() -> tuple[Path, str]:
    """Where ROS puts its logs, and the environment variable that says so. Raises KeyError when none does."""
    if folder := os.environ.get("ROS_LOG_DIR"):
        return Path(folder).expanduser(), "ROS_LOG_DIR"
    if folder := os.environ.get("ROS_HOME"):
        return Path(folder).expanduser() / "log", "ROS_HOME"
    return Path(os.environ["HOME"]) / ".ros" / "log", "HOME"


def _surroundings() -> str:
    set_here = [f"{name}={os.environ[name]}" for name in _ENVIRONMENT if name in os.environ]
    return f" (with {', '.join(set_here)})" if set_here else ""
