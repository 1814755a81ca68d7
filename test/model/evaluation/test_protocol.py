import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from moving_data import TASK, prepared, window
from safetensors.torch import load_file, save_file

from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, ShardDataset, Window
from trajforecast_model.evaluation.forecasters.points import PointForecast
from trajforecast_model.evaluation.metrics import nothing_moves_error
from trajforecast_model.evaluation.protocol import evaluate
from trajforecast_model.evaluation.scores import score_window, window_errors
from trajforecast_model.evaluation.windows import draw_query_points, moving_windows
from trajforecast_model.tracks.grid import query_points


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """One val demo: the side view moves in half of its windows, the effector view in all."""
    folder = tmp_path_factory.mktemp("data")
    windows = [window("side", start, 1.0 if start % 2 else 0.1, 10) for start in range(6)]
    windows += [window("effector", start, 2.0, 64) for start in range(6)]
    return prepared(folder, DatasetInfo(labeler="exact", stride=1), windows)


@pytest.fixture(scope="module")
def still_checkpoint(tiny_checkpoint, tmp_path_factory):
    """Forecasts that nothing moves: its VAE decodes everything to offsets of zero."""
    folder = tmp_path_factory.mktemp("still") / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "vae.safetensors")
    last = [name for name in weights if name.startswith("final_linear.")]
    assert last
    for name in last:
        weights[name] = torch.zeros_like(weights[name])
    save_file(weights, folder / "vae.safetensors")
    return folder


def test_errors_of_a_window_known_on_paper():
    truth = np.zeros((2, 2, 2))
    samples = np.zeros((3, 2, 2, 2))
    samples[0, 1] = [[3, 4], [0, 0]]
    samples[1, 1] = [[-3, 0], [0, 2]]
    samples[2, 1] = [[0, -4], [0, 4]]
    errors = window_errors(samples, truth, [1, 2, 3])
    # Squared distances in the last of two frames: 25 and 0, 9 and 4, 16 and 16; then over 2 points and 2 frames.
    assert errors["mean"] == pytest.approx({"1": 25 / 4, "2": 38 / 8, "3": 70 / 12})
    assert errors["min"] == pytest.approx({"1": 25 / 4, "2": 13 / 4, "3": 13 / 4})
    assert errors["min_per_track"] == pytest.approx({"1": 25 / 4, "2": 9 / 4, "3": 9 / 4})
    # The averages: (3, 4) and (0, 0); (0, 2) and (0, 1); (0, 0) and (0, 2).
    assert errors["mean_t"] == pytest.approx({"1": 25 / 4, "2": 5 / 4, "3": 4 / 4})
    with pytest.raises(ValueError, match="expected 4 samples"):
        window_errors(samples, truth, [1, 4])
    moving = np.zeros((2, 2, 2))
    moving[1] = [[3, 4], [0, 2]]
    assert nothing_moves_error(moving) == (25 + 4) / 4


def test_a_model_of_nothing_moves_scores_what_is_known_on_paper(still_checkpoint, data, tmp_path, capsys):
    assert main(["evaluate", "--checkpoint", str(still_checkpoint), "--data", str(data), "-k", "1", "8",
                 "--out", str(tmp_path / "r.json")]) == 0  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    sum_of_squares = sum(t**2 for t in range(16)) / 16
    for view, n_windows, expected in (("side", 3, sum_of_squares), ("effector", 6, 4 * sum_of_squares)):
        row = report["views"][view]
        assert row["n_windows"] == n_windows  # too little motion in the others
        assert row["nothing_moves"] == expected
        for metric in ("mean_t", "mean", "min", "min_per_track"):
            assert row[metric] == pytest.approx({"1": expected, "8": expected}, rel=1e-5)
        assert row["averaged_over_xy"]["mean_t"]["8"] == pytest.approx(expected / 2, rel=1e-5)
        assert row["all_moving_points"]["nothing_moves"] == expected
        assert row["ade"]["8"] == pytest.approx(7.5 * (2 if view == "effector" else 1), rel=1e-4)
        assert row["fde"]["8"] == pytest.approx(15 * (2 if view == "effector" else 1), rel=1e-4)
        assert report["per_task"][TASK][view]["mean_t"] == row["mean_t"]
    table = capsys.readouterr().out
    assert "77.50" in table and "310.00" in table  # ours
    assert "16.70" in table and "52.70" in table  # the paper's


def test_a_model_of_nothing_moves_has_no_spread(still_checkpoint, data, tmp_path):
    report = evaluate(still_checkpoint, data, [1, 4], tmp_path / "r.json")
    assert report["calibration"]["k"] == 4
    for view, speed in (("side", 1), ("effector", 2)):
        calibration = report["calibration"]["views"][view]
        assert calibration["tracks"] == 32 * report["views"][view]["n_windows"]
        assert calibration["coverage"]["expected_per_coordinate"] == 3 / 5
        assert calibration["reliability"][0]["error"] == pytest.approx(speed * np.sqrt(np.mean(np.arange(1, 16) ** 2)))
        over_time = report["over_time"]["views"][view]
        for metric in ("mean_t", "mean", "nothing_moves"):
            assert over_time[metric] == pytest.approx([(speed * t) ** 2 for t in range(16)], rel=1e-4, abs=1e-6)


def test_one_sample_has_no_calibration(tiny_checkpoint, data, tmp_path):
    assert evaluate(tiny_checkpoint, data, [1], tmp_path / "r.json", max_windows=1)["calibration"] is None
    assert json.loads((tmp_path / "r.json").read_text())["calibration"] is None


def test_intervals_hold_the_averages(tiny_checkpoint, tmp_path):
    info = DatasetInfo(labeler="exact", stride=1)
    windows = [window("side", 0, 1.0 + number, 10, demo=f"demo_{number}") for number in range(4)]
    report = evaluate(tiny_checkpoint, prepared(tmp_path, info, windows), [1, 2], tmp_path / "r.json")
    intervals = report["intervals"]["views"]["side"]
    assert intervals["n_demos"] == 4
    for metric in ("mean_t", "mean", "min", "min_per_track", "ade", "fde", "energy_score"):
        for k in ("1", "2"):
            low, high = intervals[metric][k]
            assert low < report["views"]["side"][metric][k] < high
    for group, name in (("suite", "other"), ("task", TASK)):
        assert report["intervals"][f"per_{group}"] == {name: {"side": intervals}}
    low, high = intervals["of_nothing_moves"]["mean_t"]["2"]
    assert low < report["views"]["side"]["mean_t"]["2"] / report["views"]["side"]["nothing_moves"] < high


def test_a_forecast_that_is_not_finite_is_no_score(data):
    moving_window = next(moving_windows(ShardDataset(data, "val"), None, skipped=lambda: None))
    forecast = np.zeros((2, 16, len(moving_window.drawn), 2))
    forecast[1, 3, 0, 0] = np.nan
    with pytest.raises(ValueError, match=f"{TASK}, demo_9, side, has values that are not finite"):
        score_window(moving_window, PointForecast(forecast, None), [1, 2])


def test_tables_and_figures_are_written(tiny_checkpoint, data, tmp_path):
    assert main(["evaluate", "--checkpoint", str(tiny_checkpoint), "--data", str(data), "-k", "1", "2",
                 "--max-windows", "2", "--out", str(tmp_path / "r.json"), "--table", str(tmp_path / "deep" / "r.md"),
                 "--plots", str(tmp_path / "figures")]) == 0  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    markdown = (tmp_path / "deep" / "r.md").read_text()
    assert f"| k = 2 | {report['views']['side']['mean_t']['2']:.2f} |" in markdown
    assert f"| k = 2 | {report['views']['side']['mean_t']['2'] / 2:.2f} |" in markdown  # the other convention
    assert TASK.replace("_", " ") in markdown and "16.70" in markdown
    for lines in (block.splitlines() for block in markdown.split("\n\n") if block.startswith("|")):
        assert len({line.count("|") for line in lines}) == 1
    figures = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert figures == ["error_by_k.png", "error_over_time.png", "spread_and_error.png"]
    for name in figures:
        assert cv2.imread(str(tmp_path / "figures" / name)).shape == (420, 2 * 560, 3)


def test_two_runs_agree_to_the_last_digit(tiny_checkpoint, data, tmp_path):
    for name in ("a", "b"):
        evaluate(
            tiny_checkpoint, data, [1, 2], tmp_path / f"{name}.json", table=tmp_path / f"{name}.md",
            plots=tmp_path / name,
        )  # fmt: skip
    for file in ("json", "md"):
        assert (tmp_path / f"a.{file}").read_bytes() == (tmp_path / f"b.{file}").read_bytes()
    for figure in (tmp_path / "a").iterdir():
        assert figure.read_bytes() == (tmp_path / "b" / figure.name).read_bytes()
    evaluate(tiny_checkpoint, data, [1, 2], tmp_path / "c.json", seed=1)
    assert (tmp_path / "a.json").read_bytes() != (tmp_path / "c.json").read_bytes()


def test_smaller_k_are_the_first_samples_of_a_larger_one(tiny_checkpoint, data, tmp_path):
    together = evaluate(tiny_checkpoint, data, [2, 1, 4], tmp_path / "a.json")
    alone = evaluate(tiny_checkpoint, data, [2], tmp_path / "b.json")
    for view in ("side", "effector"):
        for metric in ("mean_t", "mean", "min", "energy_score"):
            assert together["views"][view][metric]["2"] == pytest.approx(alone["views"][view][metric]["2"], rel=1e-4)
        row = together["views"][view]
        assert row["min"]["1"] >= row["min"]["2"] >= row["min"]["4"]
        assert row["mean_t"]["4"] <= row["mean"]["4"]


def test_subset_of_windows_is_fixed_and_nested(tiny_checkpoint, data, tmp_path):
    two = evaluate(tiny_checkpoint, data, [1], tmp_path / "a.json", max_windows=2)
    assert {view: row["n_windows"] for view, row in two["views"].items()} == {"side": 2, "effector": 2}
    assert evaluate(tiny_checkpoint, data, [1], tmp_path / "b.json", max_windows=2) == two
    plenty = evaluate(tiny_checkpoint, data, [1], tmp_path / "c.json", max_windows=100)
    every = evaluate(tiny_checkpoint, data, [1], tmp_path / "d.json")
    for view in ("side", "effector"):
        assert plenty["views"][view]["mean_t"] == pytest.approx(every["views"][view]["mean_t"], rel=1e-4)


def test_query_points_are_32_of_the_moving_and_the_same_in_every_run():
    moving = np.arange(100, 1000)
    drawn = draw_query_points(moving, window("side", 3, 1.0, 10))
    assert len(set(drawn.tolist())) == 32 and set(drawn.tolist()) <= set(moving.tolist())
    assert drawn[:4].tolist() == [124, 164, 189, 237]
    assert (draw_query_points(moving, window("side", 3, 5.0, 20)) == drawn).all()  # by name, not by content
    assert (draw_query_points(moving, window("effector", 3, 1.0, 10)) != drawn).any()
    assert (draw_query_points(moving, window("side", 4, 1.0, 10)) != drawn).any()
    assert draw_query_points(moving[:5], window("side", 3, 1.0, 10)).tolist() == moving[:5].tolist()


def test_data_in_which_nothing_moves_is_refused(tiny_checkpoint, tmp_path, capsys):
    folder = prepared(tmp_path, DatasetInfo(labeler="exact", stride=1), [window("side", 0, 0.1, 64)])
    assert main(["evaluate", "--checkpoint", str(tiny_checkpoint), "--data", str(folder),
                 "--out", str(tmp_path / "r.json")]) == 2  # fmt: skip
    assert "nothing moves" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-k", "0"], "k: got [0]"),
        (["--max-windows", "0"], "max-windows: got 0"),
        (["--split", "train"], "train"),
        (["--data", "{}/nowhere"], "nowhere"),
        (["--checkpoint", "{}"], "no config.json"),
        (["--steps", "0"], "steps: got 0"),
        (["--out", "{}"], "is a folder"),
        (["--table", "{}"], "is a folder"),
    ],
)
def test_bad_arguments_are_one_message_and_exit_code_2(tiny_checkpoint, data, tmp_path, capsys, arguments, message):
    common = ["--checkpoint", str(tiny_checkpoint), "--data", str(data), "--out", str(tmp_path / "r.json")]
    assert main(["evaluate", *common, *(argument.format(tmp_path) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_data_of_another_grid_is_refused(tiny_checkpoint, tmp_path):
    info = DatasetInfo(labeler="exact", stride=1, grid=(32, 32))
    points = query_points((32, 32), (128, 128))
    tracks = np.tile(points, (16, 1, 1, 1))
    row = Window(TASK, "demo_9", 0, "side", "x", np.zeros((128, 128, 3), np.uint8), tracks, tracks[..., 0] > 0, 16)
    with pytest.raises(ValueError, match=r"grid \(32, 32\), the checkpoint \(64, 64\)"):
        evaluate(tiny_checkpoint, prepared(tmp_path, info, [row]), [1], tmp_path / "r.json")
