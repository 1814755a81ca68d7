"""Fixtures that several packages' tests share."""

import os
import sys
from pathlib import Path

# Before PyTorch is imported, and for every process that a test starts. The networks are tiny, and each core has a worker:
# threads that wait for each other on a core that is not free cost many times what they compute.
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import pytest
import torch

# How long an example took says how busy the machine is, and nothing of the law that is tested.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

for folder in ("benchmarks", "conversion", "data", "evaluation", "networks", "training"):  # modules that tests share
    sys.path.insert(0, str(Path(__file__).parent / "model" / folder))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A real checkpoint folder of a small model with random weights, quick enough for every test."""
    from tiny_model import write_tiny_checkpoint

    folder = tmp_path_factory.mktemp("tiny_checkpoint")
    write_tiny_checkpoint(folder)
    return folder
