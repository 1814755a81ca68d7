import os

import pytest

from trajforecast_model.benchmarks.timing import peak_memory_of


def test_a_measured_process_that_is_killed_is_reported():
    with pytest.raises(OSError, match="was killed; if memory was short"):
        peak_memory_of(os._exit, 9, device="cpu")
