import threading

import pytest
import torch

from trajforecast_model.cores import map_over_cores, on_passing_thread


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2])
def test_the_order_is_kept_and_errors_come_out(threads, count):
    threads(count)
    assert map_over_cores(lambda a, b: a - b, [5, 7, 9], [1, 2, 3]) == [4, 5, 6]
    with pytest.raises(ZeroDivisionError):
        map_over_cores(lambda a: 1 / a, [1, 0])


def test_items_run_at_the_same_time_where_pytorch_has_cores(threads):
    threads(2)
    both_there = threading.Barrier(2, timeout=20)  # broken, an error, if one waits for the other to end
    assert sorted(map_over_cores(lambda _: both_there.wait(), [0, 0])) == [0, 1]


def test_one_core_is_one_thread(threads):
    threads(1)
    assert set(map_over_cores(lambda _: threading.get_ident(), [0, 0])) == {threading.get_ident()}


def test_a_passing_thread_gives_the_result_or_the_error_and_is_gone():
    ran_on = on_passing_thread(threading.current_thread)
    assert ran_on is not threading.current_thread()
    assert not ran_on.is_alive()
    with pytest.raises(ZeroDivisionError):
        on_passing_thread(lambda: 1 / 0)
