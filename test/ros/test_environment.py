"""What importing the package does to the environment, before PyTorch reads it."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_pytorchs_threads_spin_briefly_unless_the_environment_says_otherwise(own, expected):
    inherited = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    program = "import os, sys, trajforecast_ros; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], env=inherited | own, capture_output=True, text=True)
    assert run.stdout.split() == [expected, "False"]
