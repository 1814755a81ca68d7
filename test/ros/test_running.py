"""How nodes end, where a signal comes as something else than KeyboardInterrupt."""

import ctypes
import signal

import pytest

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
