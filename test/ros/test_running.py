"""How nodes end, where a signal comes as something else than KeyboardInterrupt."""

import ctypes
import os
import signal

import pytest
from rclpy.context import Context

from trajforecast_ros.resources import dds_settings
from trajforecast_ros.running import run


@pytest.fixture(autouse=True)
def sigint_as_it_was():
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


class Converted:
    """A ctypes argument in whose conversion something happens."""

    def __init__(self, happens: BaseException):
        self.happens = happens

    @property
    def _as_parameter_(self):
        raise self.happens


def convert(happens: BaseException) -> None:
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(abs)
    function(Converted(happens))


def test_a_sigint_inside_of_ctypes_is_a_clean_end(monkeypatch):
    with pytest.raises(ctypes.ArgumentError, match="KeyboardInterrupt"):
        convert(KeyboardInterrupt())

    monkeypatch.setattr("rclpy.init", lambda args: None)
    monkeypatch.setattr("rclpy.try_shutdown", lambda: None)  # the context belongs to the other tests of this process
    assert run(lambda: convert(KeyboardInterrupt())) == 0
    with pytest.raises(ctypes.ArgumentError, match="TypeError"):
        run(lambda: convert(TypeError("a mistake of ours")))


def test_a_sigint_inside_of_numba_is_a_clean_end(monkeypatch):
    """It raises SystemError from SystemError ... from what happened."""

    def compute(happens: BaseException) -> None:
        try:
            try:
                raise happens
            except BaseException as first:
                raise SystemError("unpickling returned a result with an exception set") from first
        except SystemError as second:
            raise SystemError("a dispatcher returned a result with an exception set") from second

    monkeypatch.setattr("rclpy.init", lambda args: None)
    monkeypatch.setattr("rclpy.try_shutdown", lambda: None)
    assert run(lambda: compute(KeyboardInterrupt())) == 0
    with pytest.raises(SystemError):
        run(lambda: compute(TypeError("a mistake of ours")))


def test_a_sigint_while_a_message_is_converted_is_a_clean_end(monkeypatch):
    """The context goes down after the conversion failed; where it stays up, the error is one of ours."""
    answers = iter([True, True, False])
    monkeypatch.setattr("rclpy.init", lambda args: None)
    monkeypatch.setattr("rclpy.try_shutdown", lambda: None)
    monkeypatch.setattr("rclpy.ok", lambda: next(answers, False))

    def convert_message():
        raise RuntimeError("Unable to convert call argument '0' to Python object")

    assert run(convert_message) == 0
    monkeypatch.setattr("rclpy.ok", lambda: True)
    monkeypatch.setattr("trajforecast_ros.running._MOMENT", 0.0)
    with pytest.raises(RuntimeError, match="Unable to convert"):
        run(convert_message)


@pytest.mark.parametrize("wrong", [["-p", "speed"], ["--nonsense"], ["--params-file", "/no/such/file.yaml"]])
def test_arguments_that_ros_does_not_take_are_told_in_one_line(wrong, monkeypatch, capsys):
    # A context of its own: the default one belongs to the other tests of this process.
    monkeypatch.setattr("rclpy.init", lambda args: Context().init(args, initialize_logging=False))
    assert run(lambda: pytest.fail("a node was made"), ["a_node", "--ros-args", *wrong]) == 2

    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert wrong[-1] in line


@pytest.mark.parametrize("own", [{}, {"FASTRTPS_DEFAULT_PROFILES_FILE": "/robot/fastdds.xml"}])
def test_a_node_started_by_hand_gets_the_profile_for_large_messages_unless_it_has_one(own, monkeypatch):
    for name in dds_settings():
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    seen = {}
    monkeypatch.setattr("rclpy.init", lambda args: seen.update(os.environ))
    monkeypatch.setattr("rclpy.try_shutdown", lambda: None)

    def end():
        raise KeyboardInterrupt

    assert run(end) == 0
    expected = dict.fromkeys(dds_settings()) | own if own else dds_settings()
    assert {name: seen.get(name) for name in dds_settings()} == expected
