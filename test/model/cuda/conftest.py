"""What runs on a GPU: `pytest -m cuda`, or tools/gpu_day.sh tests. TRAJFORECAST_REHEARSAL=1 runs on the CPU what can be."""

import os
from pathlib import Path

import pytest
import torch
from synthetic_shards import write_synthetic_data
from tiny_model import write_tiny_checkpoint

REHEARSAL = "TRAJFORECAST_REHEARSAL" in os.environ
NO_GPU = "this PyTorch sees no GPU"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cuda)


@pytest.fixture(scope="session")
def device() -> str:
    """The GPU, or the CPU in a rehearsal."""
    if REHEARSAL:
        return "cpu"
    if not torch.cuda.is_available():
        pytest.skip(NO_GPU)
    return "cuda"


@pytest.fixture(scope="session")
def gpu() -> str:
    """The GPU, for what a CPU has nothing like."""
    if not torch.cuda.is_available():
        pytest.skip(NO_GPU)
    return "cuda"


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """Small, random, and without a text encoder, whose weights need not be on the machine."""
    folder = tmp_path_factory.mktemp("checkpoint")
    write_tiny_checkpoint(folder, text=False)
    return folder


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    write_synthetic_data(folder)
    return folder
