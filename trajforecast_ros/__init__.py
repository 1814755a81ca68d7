"""Nodes, and conversions between messages and arrays."""

import os

# Read when PyTorch is loaded. Its threads wait for the next operation spinning, by default 15 ms and more, on the cores
# that publishing and the subscribers want as soon as a forecast is made. A tenth of that is enough while one is.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
