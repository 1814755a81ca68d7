from pathlib import Path

import pytest
from synthetic_shards import write_synthetic_data
from tiny_runs import run, vae_config


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    write_synthetic_data(folder)
    return folder


@pytest.fixture(scope="session")
def barely_trained_vae(data, tmp_path_factory) -> Path:
    """The checkpoint of a VAE after one step, for denoisers that need one and not a good one."""
    folder = tmp_path_factory.mktemp("barely_trained_vae")
    assert run("vae", vae_config(data, folder / "run", steps=1), folder) == 0
    return folder / "run" / "checkpoint"
