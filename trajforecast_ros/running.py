"""How every node of this package starts, runs and ends."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from trajforecast_ros.memory import keep_freed_memory
from trajforecast_ros.resources import dds_settings
from trajforecast_ros.starting import ros
from trajforecast_ros.starting.arguments import Command, help_wanted, understand, usage

_MOMENT = 1.0  # seconds in which a signal has shut the context down


def run(
    make_node: Callable[[], Node],
    arguments: list[str] | None = None,
    close: Callable[[Node], None] = Node.destroy_node,
    finished: Callable[[Node], bool] = lambda node: False,
    command: Command | None = None,
) -> int:
    """Makes the node and spins it until it has finished or the process is asked to end.

    Args:
        arguments: the program's name first; None takes the process's own.
        command: what the arguments are understood by; without one they are ROS's as they come.

    Returns:
        The exit code: 0 also after SIGINT, SIGTERM and --help, 2 when there are arguments that nobody reads, ROS does
        not start, a parameter is of another type, or `make_node` raises ValueError or OSError, which is then told in
        one line.
    """
    arguments = sys.argv if arguments is None else arguments
    if command is not None and help_wanted(arguments):
        print(usage(command))
        return 0
    try:
        if command is not None:
            arguments = _understood(arguments, command)
        _let_large_messages_through()
        keep_freed_memory()
        ros.start(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    node = None
    try:
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while rclpy.ok() and not finished(node):
            executor.spin_once()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except ctypes.ArgumentError as error:
        # ctypes, through which MuJoCo reaches OpenGL, wraps a SIGINT that comes while it converts an argument.
        if "KeyboardInterrupt" not in str(error):
            raise
    except SystemError as error:
        # numba, in which the simulator's controller computes, chains one behind the other to a SIGINT.
        if not isinstance(_origin(error), KeyboardInterrupt):
            raise
    except RuntimeError:
        # A signal may shut the context down just before the executor waits on it or a callback publishes (RCLError), or
        # come while pybind11 converts a message, which then fails, and the context goes down a moment later.
        if not _goes_down():
            raise
    except (ValueError, OSError, ParameterException) as error:
        if node is not None:
            raise  # not something that the user gave us
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        # Ctrl-C reaches a node twice under ros2 launch, from the terminal and from launch; once is enough to end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            close(node)
        rclpy.try_shutdown()
    return 0


def _goes_down() -> bool:
    """Whether the context is shut down by now, or will be in a moment."""
    deadline = time.monotonic() + _MOMENT
    while rclpy.ok() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not rclpy.ok()


def _origin(error: BaseException) -> BaseException:
    """What an exception was raised from, in the end."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _understood(arguments: list[str], command: Command) -> list[str]:
    understood = understand(arguments, command)
    for warning in understood.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return understood.arguments


def _let_large_messages_through() -> None:
    """Gives Fast DDS our profile, unless the user's environment names one."""
    try:
        settings = dds_settings()
    except LookupError as error:
        print(f"warning: config/fastdds.xml is not installed, large images may not arrive: {error}", file=sys.stderr)
        return
    if not settings.keys() & os.environ.keys():
        os.environ.update(settings)
