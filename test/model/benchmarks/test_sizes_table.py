import json

from trajforecast_model.benchmarks import sizes
from trajforecast_model.cli import main


def test_one_command_makes_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sizes, "WARM_UP_RUNS", 0)
    out = tmp_path / "sizes.json"
    arguments = ["--sizes", "S", "--evaluations", "2,1", "--depth", "1", "-k", "1", "--views", "1", "--batch", "1"]
    assert main(["bench", "sizes", *arguments, "--runs", "1", "--device", "cpu", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["size"], row["evaluations"]) for row in rows] == [("S", 2), ("S", 1)]
    assert rows[0]["floor_here"] > rows[1]["floor_here"] > rows[1]["floor_h200"] > 0
    assert "| S | 2 |" in capsys.readouterr().out


def test_unknown_sizes_are_refused(capsys):
    assert main(["bench", "sizes", "--sizes", "XL", "--device", "cpu"]) == 2
    assert "'XL'" in capsys.readouterr().err
