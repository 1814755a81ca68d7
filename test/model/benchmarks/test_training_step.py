"""`bench training`, with a stand-in for the official networks."""

import json

from stand_in import write_stand_in
from synthetic_shards import write_synthetic_data

from trajforecast_model.benchmarks import training_step
from trajforecast_model.cli import main


def test_both_steps_and_the_loader_are_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training_step, "LOADER_BATCHES", 2)
    write_stand_in(tmp_path)
    write_synthetic_data(tmp_path / "data", train=2, val=1)
    out = tmp_path / "report.json"
    arguments = ["--size", "S", "--depth", "1", "--batch", "1", "--runs", "1", "--data", str(tmp_path / "data")]
    assert main(["bench", "training", str(tmp_path), *arguments, "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert (report["size"], report["depth"], report["batch"], report["runs"]) == ("S", 1, 1, 1)
    ratio, rates = report["official_over_ours"], report["samples_per_second"]
    assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
    assert all(rate["min"] > 0 for rate in rates.values())
    assert all(of["peak"] > 50e6 for of in report["memory_bytes"].values())  # PyTorch alone needs more
    assert 1 < report["loss"]["ours"] < 20
    loader = report["loader"]
    assert loader["over_our_step"] == loader["samples_per_second"] / rates["ours"]["median"]
    printed = capsys.readouterr().out
    assert "official / ours" in printed and "loader alone" in printed
