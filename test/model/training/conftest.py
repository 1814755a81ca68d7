from pathlib import Path

import pytest
from synthetic_shards import write_synthetic_data


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    write_synthetic_data(folder)
    return folder
