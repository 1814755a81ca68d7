import subprocess
import sys

PROGRAM = """
import resource, sys, threading
import numpy as np
from trajforecast_ros.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def forecasts():
    for _ in range(20):
        decoded = np.ones(2 * 8 * 16 * 64 * 64 * 2, np.float32)
        pixels = decoded + 1
        message = pixels.copy()
        del decoded, pixels, message

def later_faults():
    forecasts()
    before = page_faults()
    forecasts()
    counts.append(page_faults() - before)

counts = []
later_faults()
thread = threading.Thread(target=later_faults)
thread.start()
thread.join()
print(*counts)
"""


def page_faults(kept: str) -> list[int]:
    """Of twenty forecasts' worth of memory, one after the other, in the main thread and in another."""
    run = subprocess.run([sys.executable, "-c", PROGRAM, kept], capture_output=True, text=True, check=True)
    return [int(count) for count in run.stdout.split()]


def test_memory_of_a_forecast_is_used_again_for_the_next_one():
    a_page_each = 8 * 2**20 // 4096
    assert min(page_faults("returned")) > 10 * a_page_each  # or this library keeps it by itself, and ours can go
    assert max(page_faults("kept")) < a_page_each / 10
