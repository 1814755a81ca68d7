"""Two reports side by side, on scores that are known on paper."""

import json
from pathlib import Path

import numpy as np
import pytest

from trajforecast_model.cli import main
from trajforecast_model.evaluation.reports.paper_figures import paper_ratios
from trajforecast_model.evaluation.reports.report import summarise, windows_fingerprint
from trajforecast_model.evaluation.scores import Errors, WindowScores

VIEWS = ("side", "effector")


def score(index: int, demo: int, view: str, error: float, still: float = 100.0) -> WindowScores:
    by_k = {"1": 2 * error, "2": 1.5 * error, "4": error}
    by_metric = {"mean_t": by_k, "mean": by_k, "min": by_k | {"4": error / 2}, "min_per_track": by_k}
    flat = np.full(16, error)
    over_time = {"nothing_moves": flat, "mean_t": flat, "mean": flat}
    errors = Errors(still, by_metric)
    return WindowScores(index, "turn_on_the_stove", f"demo_{demo}", view, errors, errors, over_time, None)


def write_report(path: Path, errors_by_demo: list[float], convention: dict | None = None, still: float = 100.0) -> Path:
    scores = []
    for view in VIEWS:
        for demo, error in enumerate(errors_by_demo):
            # Demos of other numbers of windows: the average is over windows.
            scores += [score(len(scores), demo, view, error, still) for _ in range(demo + 1)]
    report = summarise(scores, VIEWS, [1, 4])
    report["convention"] = {"unit": "px^2", "k": [1, 4], "seed": 0, "solver_steps": 5} | (convention or {})
    report["windows"] = windows_fingerprint(scores)
    path.write_text(json.dumps(report))
    return path


def cells(text: str, row: str) -> list[str]:
    """Of the first row of this name."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_ratios_of_the_first_report_to_the_others(tmp_path, capsys):
    ours = write_report(tmp_path / "ours.json", [10.0, 20.0, 30.0])  # mean over 1, 2, 3 windows: 140 / 6
    double = write_report(tmp_path / "atm.json", [20.0, 40.0, 60.0], {"seed": 3, "solver_steps": None})
    assert main(["compare", str(ours), str(double), "--out", str(tmp_path / "t.md")]) == 0
    assert "ours of atm, k = 4" in capsys.readouterr().out
    table = (tmp_path / "t.md").read_text()
    assert cells(table, "nothing moves") == ["100.00", "-", "-"] * 2
    assert cells(table, "ours") == ["23.33", "23.33", "11.67"] * 2
    assert cells(table, "ratio") == ["0.50", "0.50", "0.50"] * 2
    # Twice as bad in every demo: whichever demos are drawn, for both alike, the ratio is the same.
    assert cells(table, "95% interval over demos, paired") == ["0.5 to 0.5"] * 6
    assert cells(table, "LIBERO-90, WHN of ATM") == ["0.72", "0.79", "0.48", "0.78", "0.90", "0.48"]
    assert main(["compare", str(ours), str(double), "-k", "1", "--out", str(tmp_path / "t.md")]) == 0
    assert cells((tmp_path / "t.md").read_text(), "ours") == ["46.67"] * 6


def test_a_forecast_without_errors_has_no_ratio(tmp_path):
    ours, perfect = (write_report(tmp_path / f"{name}.json", [e, e]) for name, e in (("ours", 10.0), ("perfect", 0.0)))
    assert main(["compare", str(ours), str(perfect), "--out", str(tmp_path / "t.md")]) == 0
    table = (tmp_path / "t.md").read_text()
    assert cells(table, "ratio") == cells(table, "95% interval over demos, paired") == ["-"] * 6


@pytest.mark.parametrize(("option", "message"), [(["--out", "."], "is a folder"), (["-k", "0"], "in common, not 0")])
def test_wrong_options_are_refused_before_anything_is_printed(tmp_path, capsys, option, message):
    ours = write_report(tmp_path / "ours.json", [10.0])
    assert main(["compare", str(ours), str(ours), *option]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and not printed.out


def test_an_uneven_ratio_has_an_interval_around_it(tmp_path):
    ours = write_report(tmp_path / "ours.json", [10.0, 20.0, 30.0, 10.0])
    other = write_report(tmp_path / "other.json", [10.0, 10.0, 60.0, 40.0])
    assert main(["compare", str(ours), str(other), "--out", str(tmp_path / "t.md")]) == 0
    table = (tmp_path / "t.md").read_text()
    assert cells(table, "ratio")[0] == "0.49"  # 180 / 370
    low, high = (float(bound) for bound in cells(table, "95% interval over demos, paired")[0].split(" to "))
    assert 0.25 <= low < 0.48 < high <= 1.67


def test_the_papers_ratios_lie_where_its_text_has_them():
    atm = [ratios for _, baseline, ratios in paper_ratios() if baseline == "ATM"]
    assert sorted({round(value, 2) for one in atm for value in one["mean_t"]}) == [0.72, 0.76, 0.78, 0.83]
    assert all(0.43 <= value <= 0.52 for one in atm for value in one["min"])
    assert all(one["min"] == (None, None) for _, baseline, one in paper_ratios() if baseline == "Tra-MoE")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(convention={"unit": "mm"}), "its unit is 'mm', not 'px^2'"),
        (dict(convention={"labeler": "lucas_kanade"}), "labeler"),
        (dict(errors_by_demo=[1.0, 2.0, 3.0]), "other windows"),
        (dict(still=101.0), "other windows"),  # the same names, but other tracks
        (dict(convention={"k": [2]}), "in common"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, capsys, change, message):
    ours = write_report(tmp_path / "ours.json", [10.0, 20.0])
    other = write_report(**(dict(path=tmp_path / "other.json", errors_by_demo=[10.0, 20.0]) | change))
    assert main(["compare", str(ours), str(other)]) == 2
    assert message in capsys.readouterr().err


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, capsys):
    paths = [tmp_path / folder / "report.json" for folder in ("ours", "atm")]
    for path in paths:
        path.parent.mkdir()
        write_report(path, [10.0, 20.0])
    assert main(["compare", *map(str, paths)]) == 0
    assert "ours/report.json of atm/report.json, k = 4" in capsys.readouterr().out


def without_an_error(report: dict) -> None:
    del report["per_demo"]["side"][0]["min"]


def without_a_number(report: dict) -> None:
    report["views"]["side"]["mean"]["4"] = None


def without_counts(report: dict) -> None:
    del report["convention"]["k"]


def with_a_list_for_views(report: dict) -> None:
    report["views"] = ["side"]


@pytest.mark.parametrize("damage", [without_an_error, without_a_number, without_counts, with_a_list_for_views])
def test_a_damaged_report_is_named(damage, tmp_path, capsys):
    ours = write_report(tmp_path / "ours.json", [10.0])
    other = write_report(tmp_path / "other.json", [10.0])
    report = json.loads(other.read_text())
    damage(report)
    other.write_text(json.dumps(report))
    assert main(["compare", str(ours), str(other)]) == 2
    assert f"{other} is a damaged report" in capsys.readouterr().err


def test_what_is_no_report_is_refused(tmp_path, capsys):
    ours = write_report(tmp_path / "ours.json", [10.0])
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "text.json").write_text("no")
    for arguments, message in (
        ([str(ours)], "expected two or more"),
        ([str(ours), str(tmp_path / "list.json")], "is not a report of this version"),
        ([str(ours), str(tmp_path / "text.json")], "not readable JSON"),
        ([str(ours), str(tmp_path / "missing.json")], "missing.json"),
        ([str(ours), str(ours), "-k", "8"], "not 8"),
    ):
        assert main(["compare", *arguments]) == 2
        assert message in capsys.readouterr().err
