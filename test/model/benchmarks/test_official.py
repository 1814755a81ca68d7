"""Against the official code, where its folder is given in TRAJFORECAST_OFFICIAL; it is no part of this project."""

import json
import os

import pytest

from trajforecast_model.cli import main


@pytest.mark.parametrize("subject", ["official", "training"])
def test_a_folder_without_the_official_code_is_refused(subject, tmp_path, capsys):
    assert main(["bench", subject, str(tmp_path), "--depth", "2"]) == 2
    assert "nn_latte.py" in capsys.readouterr().err


@pytest.fixture
def compared(tmp_path):
    """compared(subject, argument, ...) -> the report of ours beside the official code"""
    if "TRAJFORECAST_OFFICIAL" not in os.environ:
        pytest.skip("TRAJFORECAST_OFFICIAL names no folder")

    def compare(subject: str, *arguments: str) -> dict:
        out = tmp_path / "report.json"
        assert main(["bench", subject, os.environ["TRAJFORECAST_OFFICIAL"], *arguments, "--out", str(out)]) == 0
        return json.loads(out.read_text())

    return compare


@pytest.mark.slow
def test_both_give_the_same_tracks(compared):
    sizes = ["--depth", "2", "-k", "1", "--views", "1", "--steps", "1"]
    report = compared("official", *sizes, "--runs", "1", "--dtype", "float32")
    assert report["difference_over_motion"] < 1e-3
    assert report["memory_bytes"]["ours"]["peak"] > 0


@pytest.mark.slow
def test_both_training_steps_have_the_same_loss(compared):
    sizes = ["--size", "S", "--depth", "2", "--batch", "1"]
    loss = compared("training", *sizes, "--runs", "2", "--dtype", "float32")["loss"]
    assert loss["ours"] == pytest.approx(loss["official"], rel=0.1)  # noise and flow times differ
