"""The table of errors against evaluations: figures of `evaluate`, ratios to one reference, students with their own steps."""

import json
import shutil
from pathlib import Path

import pytest
from synthetic_shards import write_synthetic_data

from trajforecast_model.checkpoint import load_config, save_config
from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo
from trajforecast_model.evaluation.few_steps import sweep


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    write_synthetic_data(folder, train=1, val=3)
    return folder


def student_of(teacher: Path, folder: Path) -> Path:
    """The teacher's weights with other steps: what it does in them is known."""
    folder.mkdir()
    for file in teacher.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    values = json.loads((folder / "config.json").read_text()) | {"steps": 2, "solver": "ab2@shift2"}
    (folder / "config.json").write_text(json.dumps(values))
    save_config(load_config(folder), folder)
    return folder


def test_rows_have_the_figures_of_evaluate_and_ratios_to_the_reference(tiny_checkpoint, data, tmp_path, capsys):
    common = ["--checkpoint", str(tiny_checkpoint), "--data", str(data), "--out"]
    student = student_of(tiny_checkpoint, tmp_path / "student")
    sweep = ["few-steps", *common, str(tmp_path / "sweep.json"), "-k", "2", "--solvers", "euler", "ab2@shift2"]
    sweep += ["--evaluations", "2", "--student", str(student), "--table", str(tmp_path / "sweep.md")]
    assert main(sweep) == 0
    assert main(["evaluate", *common, str(tmp_path / "evaluate.json"), "-k", "2", "--steps", "2"]) == 0

    report = json.loads((tmp_path / "sweep.json").read_text())
    evaluated = json.loads((tmp_path / "evaluate.json").read_text())["views"]
    rows = {(row["checkpoint"], row["solver"], row["evaluations"]): row["views"] for row in report["rows"]}
    teacher = tiny_checkpoint.name
    assert list(rows) == [
        (teacher, "euler", 9),
        (teacher, "euler", 2),
        (teacher, "ab2@shift2", 2),
        ("student", "ab2@shift2", 2),
    ]
    for view, two_steps in rows[teacher, "euler", 2].items():
        expected = {name: evaluated[view][name]["2"] for name in ("mean_t", "mean", "min")}
        assert two_steps["mean_t"] == pytest.approx(expected["mean_t"], rel=1e-4)
        assert two_steps["min"] == pytest.approx(expected["min"], rel=1e-4)
        assert two_steps["scene_sample_variance"] == pytest.approx(expected["mean"] - expected["mean_t"], rel=1e-3)
        reference = rows[teacher, "euler", 9][view]
        assert reference["of_reference"]["min"] == {"ratio": 1.0, "interval": [1.0, 1.0]}
        compared = two_steps["of_reference"]["mean_t"]
        assert compared["ratio"] == pytest.approx(two_steps["mean_t"] / reference["mean_t"])
        assert compared["interval"][0] <= compared["ratio"] <= compared["interval"][1]
        assert rows["student", "ab2@shift2", 2][view] == rows[teacher, "ab2@shift2", 2][view]
        assert two_steps != rows[teacher, "ab2@shift2", 2][view]
    markdown = (tmp_path / "sweep.md").read_text().splitlines()
    assert [line.split(" | ")[1:3] for line in markdown[-2:]] == [["ab2@shift2", "2"]] * 2
    assert markdown[2].startswith("|  | solver | evaluations | side MeanT | side Min | side variance | effector MeanT")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--solvers", "rk4"], "solver: got 'rk4'"),
        (["-k", "1"], "k: got 1"),
        (["--evaluations", "0"], "evaluations: got 0"),
        (["--max-windows", "0"], "max-windows: got 0"),
        (["--out", "{}"], "is a folder"),
        (["--table", "{}"], "is a folder"),
    ],
)
def test_what_cannot_be_swept_is_refused(options, message, tiny_checkpoint, data, tmp_path, capsys):
    arguments = ["--checkpoint", str(tiny_checkpoint), "--data", str(data), "--out", str(tmp_path / "sweep.json")]
    assert main(["few-steps", *arguments, *(option.format(tmp_path) for option in options)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "sweep.json").exists()


def test_data_that_does_not_fit_is_refused(tiny_checkpoint, tmp_path, capsys):
    coarse = tmp_path / "coarse"
    write_synthetic_data(coarse, train=1, val=1, info=DatasetInfo(labeler="exact", stride=1, grid=(32, 32)))
    arguments = ["--checkpoint", str(tiny_checkpoint), "--data", str(coarse), "--out", str(tmp_path / "sweep.json")]
    assert main(["few-steps", *arguments]) == 2
    assert "the data has grid (32, 32), the checkpoint (64, 64)" in capsys.readouterr().err


def test_runs_are_told_apart_by_their_folders(tiny_checkpoint, data, tmp_path):
    teacher, student = (tmp_path / run / "checkpoint" for run in ("long_run", "student_run"))
    shutil.copytree(tiny_checkpoint, teacher)
    shutil.copytree(tiny_checkpoint, student)
    report = sweep(
        str(teacher), data, [], [], tmp_path / "sweep.json", students=[str(student)], reference=("euler", 1), k=2,
        max_windows=1,
    )  # fmt: skip
    assert report["reference"] == "long_run/checkpoint euler 1"
    assert [row["checkpoint"] for row in report["rows"]] == ["long_run/checkpoint", "student_run/checkpoint"]
