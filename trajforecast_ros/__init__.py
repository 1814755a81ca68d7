"""Nodes, and conversions between messages and arrays."""

import os
import time

# Nanoseconds of the system's clock, before PyTorch is loaded, which takes seconds: what a node was given on its command
# line was said then.
PROCESS_BEGAN = time.time_ns()

# Read when PyTorch is loaded. Its threads wait for the next operation spinning, by default for some 15 ms, on cores that
# publishing, the subscribers and every other program want. A thirtieth costs a forecast 1 to 3 % on a free machine, and
# halves its time where another program holds a core.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
