"""Memory that is kept: counted in page faults of a process of its own."""

import subprocess
import sys

import pytest

BLOCKS_OF_A_MESSAGE = """
import resource

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def take_messages():
    for _ in range(10):
        blocks = [bytearray(9 << 20) for _ in range(3)]
        del blocks

take_messages()
before = faults()
take_messages()
print(faults() - before)
"""


def page_faults(preamble: str) -> int:
    program = [sys.executable, "-c", preamble + BLOCKS_OF_A_MESSAGE]
    return int(subprocess.run(program, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is meant")
def test_freed_memory_is_kept_for_the_next_message():
    keeping = "from trajforecast_ros.memory import keep_freed_memory\nkeep_freed_memory()"
    assert page_faults(keeping) < 100 < 10_000 < page_faults("")
