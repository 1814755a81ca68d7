"""`simulate --futures`: real LIBERO demos that begin in the same state and go on differently."""

import h5py
import numpy as np
import pytest

from trajforecast_model.cli import main
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions

pytestmark = pytest.mark.slow

SEED = "300000"
COMMAND = ["simulate", "--suite", "libero_object", "--tasks", "0", "--episodes", "1", "--seed", SEED, "--workers", "1"]


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    out = tmp_path_factory.mktemp("demos")
    assert main([*COMMAND, "--futures", "2", "--states-only", "--out", str(out)]) == 0
    return out


def test_futures_begin_in_the_same_state_and_do_different_things(demos):
    (path,) = demos.glob("*_demo.hdf5")
    with h5py.File(path) as file:
        assert file["data"].attrs["num_demos"] == 2
        first, second = file["data/demo_0"], file["data/demo_1"]
        assert [demo.attrs["future"] for demo in (first, second)] == [0, 1]
        assert first.attrs["seed"] == second.attrs["seed"] == int(SEED)
        assert first.attrs["model_file"] == second.attrs["model_file"]
        np.testing.assert_array_equal(first["states"][0], second["states"][0])
        assert np.abs(first["actions"][10] - second["actions"][10]).max() > 0.01
        assert first.attrs["language_instruction"] == "pick up the alphabet soup and place it in the basket"
        assert second.attrs["language_instruction"] != first.attrs["language_instruction"]


def test_each_is_read_with_its_own_instruction(demos):
    (source,) = find_sources([demos], SourceOptions())
    first, second = (source.read(name) for name in source.names())
    assert first.instruction == "pick up the alphabet soup and place it in the basket"
    assert second.instruction.startswith("pick up the ") and "soup" not in second.instruction


def test_another_number_of_futures_is_another_run(demos, capsys):
    assert main([*COMMAND, "--states-only", "--out", str(demos)]) == 2
    assert "futures 2" in capsys.readouterr().err
    assert main([*COMMAND, "--futures", "0", "--out", str(demos)]) == 2
    assert "--futures 0" in capsys.readouterr().err
