"""Against the official code, where its folder is given in TRAJFORECAST_OFFICIAL; it is no part of this project."""

import json
import os

import pytest

from trajforecast_model.cli import main


def test_a_folder_without_the_official_code_is_refused(tmp_path, capsys):
    assert main(["bench", "official", str(tmp_path), "--depth", "2"]) == 2
    assert "nn_latte.py" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif("TRAJFORECAST_OFFICIAL" not in os.environ, reason="TRAJFORECAST_OFFICIAL names no folder")
def test_both_give_the_same_tracks(tmp_path):
    out = tmp_path / "report.json"
    arguments = ["--depth", "2", "-k", "1", "--views", "1", "--steps", "1", "--runs", "1", "--dtype", "float32"]
    assert main(["bench", "official", os.environ["TRAJFORECAST_OFFICIAL"], *arguments, "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["difference_over_motion"] < 1e-3
    assert report["memory_bytes"]["ours"]["peak"] > 0
