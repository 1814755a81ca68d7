import threading

import pytest

from trajforecast_model.runtime.threads import on_passing_thread


def test_a_passing_thread_gives_the_result_or_the_error_and_is_gone():
    ran_on = on_passing_thread(threading.current_thread)
    assert ran_on is not threading.current_thread()
    assert not ran_on.is_alive()
    with pytest.raises(ZeroDivisionError):
        on_passing_thread(lambda: 1 / 0)
