"""What the past is worth without a network, and visibility, beside the errors of the LIBERO protocol."""

import json
from dataclasses import replace

import numpy as np
import pytest
from moving_data import POINTS, TASK, prepared, window
from tiny_model import tiny_config

from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.evaluation import protocol
from trajforecast_model.evaluation.forecasters.points import DenseForecaster, PointForecast
from trajforecast_model.evaluation.protocol import evaluate
from trajforecast_model.evaluation.scores import score_window
from trajforecast_model.evaluation.windows import moving_windows

SUM_OF_SQUARES = sum(t**2 for t in range(16)) / 16
DECAYED = sum((t - sum(0.93**i for i in range(1, t + 1))) ** 2 for t in range(16)) / 16
INFO = DatasetInfo(labeler="exact", stride=1, history_frames=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two windows a view; in one of the effector's, the past is not known."""
    windows = [window("side", start, 1.0, 10, history=4) for start in range(2)]
    windows += [window("effector", start, 2.0, 64, history=4) for start in range(2)]
    windows[3] = replace(windows[3], history_visibility=np.zeros((4, 64, 64), bool))
    return prepared(tmp_path_factory.mktemp("data"), INFO, windows)


def test_extrapolations_stand_beside_where_the_data_has_a_history(data, tmp_path, capsys):
    report = evaluate("nothing_moves", data, [1], tmp_path / "r.json", table=tmp_path / "r.md")
    side, effector = (report["views"][view]["extrapolations"] for view in ("side", "effector"))
    assert side == {
        "constant_velocity": pytest.approx(0, abs=1e-4),
        "constant_velocity_decaying": pytest.approx(DECAYED, rel=1e-4),
        "last_motion_repeated": pytest.approx(0, abs=1e-4),
    }
    # In one of two windows nothing is known of the past: nothing moves there.
    assert effector["constant_velocity"] == pytest.approx(4 * SUM_OF_SQUARES / 2, rel=1e-4)
    assert effector["constant_velocity_decaying"] == pytest.approx(4 * (DECAYED + SUM_OF_SQUARES) / 2, rel=1e-4)
    assert report["views"]["side"]["all_moving_points"]["extrapolations"] == pytest.approx(side)
    assert report["per_task"][TASK]["side"]["extrapolations"] == side
    assert report["per_demo"]["side"][0]["extrapolations"] == side
    assert set(report["intervals"]["views"]["side"]["of_extrapolations"]) == set(side)
    for text in (capsys.readouterr().out, (tmp_path / "r.md").read_text()):
        assert "constant velocity decaying by 0.93 a step" in text and "last motion repeated" in text


def test_a_last_motion_shorter_than_the_horizon_comes_again(data, tmp_path):
    """Still a while before the last four frames, and then one step: it is that step after three without motion."""
    one = window("side", 0, 1.0, 10, history=4)
    past = np.tile(one.tracks[0], (4, 1, 1, 1))
    past[:, :, :10, 0] -= 1.0  # the only step is the last
    folder = prepared(tmp_path, INFO, [replace(one, history_tracks=past)])
    report = evaluate("last_motion_repeated", folder, [1], tmp_path / "r.json")
    expected = np.mean([(t - t // 4) ** 2 for t in range(16)])
    assert report["views"]["side"]["mean_t"]["1"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "history", "expected"),
    [
        ("nothing_moves", None, SUM_OF_SQUARES),
        ("constant_velocity", None, 0),
        ("constant_velocity", 1, 0),
        ("constant_velocity", 0, SUM_OF_SQUARES),
        ("constant_velocity_decaying", None, DECAYED),
        ("last_motion_repeated", 2, 0),
    ],
)
def test_extrapolations_are_evaluated_by_their_names(data, tmp_path, name, history, expected):
    report = evaluate(name, data, [1, 8], tmp_path / "r.json", history=history)
    row = report["views"]["side"]
    for metric in ("mean_t", "mean", "min"):
        assert row[metric] == {"1": pytest.approx(expected, rel=1e-4, abs=1e-4), "8": row[metric]["1"]}
    assert report["model"] == name and report["calibration"] is None
    assert report["views"]["side"]["extrapolations"]["constant_velocity"] == pytest.approx(0, abs=1e-4)


def test_reports_of_the_same_windows_compare_whatever_the_past_that_was_shown(data, tmp_path, capsys):
    evaluate("constant_velocity_decaying", data, [1], tmp_path / "decaying.json")
    evaluate("constant_velocity", data, [1], tmp_path / "none.json", history=0)
    assert main(["compare", str(tmp_path / "decaying.json"), str(tmp_path / "none.json")]) == 0
    printed = capsys.readouterr().out
    assert "last motion repeated" in printed and "decaying of none, k = 1" in printed


@pytest.mark.parametrize(
    ("checkpoint", "options", "message"),
    [
        ("constant_velocity", ["--history", "5"], "history: got 5, but the data has 4 frames"),
        ("constant_velocity", ["--history", "-1"], "history: got -1"),
        ("nothing_moves", ["--history", "2"], "looks at no past"),
        ("constant_velocity", ["--steps", "3"], "has no solver"),
        ("constant_velocities", [], "does not exist"),
        ("constant_velocity", ["--clip-frames", "24"], "--clip-frames: the libero protocol would ignore this"),
        (None, [], "checkpoint: none given"),
    ],
)
def test_errors_of_use(data, tmp_path, capsys, checkpoint, options, message):
    chosen = [] if checkpoint is None else ["--checkpoint", checkpoint]
    assert main(["evaluate", *chosen, "--data", str(data), "--out", str(tmp_path / "r.json"), *options]) == 2
    assert message in capsys.readouterr().err


def test_data_without_a_history_has_no_extrapolations(tmp_path, capsys):
    info = DatasetInfo(labeler="exact", stride=1)
    folder = prepared(tmp_path, info, [window("side", start, 1.0, 10) for start in range(2)])
    report = evaluate("nothing_moves", folder, [1], tmp_path / "r.json")
    assert "extrapolations" not in json.dumps(report["views"])
    command = ["evaluate", "--data", str(folder), "--out", str(tmp_path / "r.json"), "--checkpoint"]
    assert main([*command, "constant_velocity"]) == 2
    assert "the data has no history" in capsys.readouterr().err


class SeesThePast:
    """In the place of a model with a history: it notes what it is shown and forecasts that nothing moves."""

    model_id, history_frames = "sees_the_past", 2

    def __init__(self):
        self.config = tiny_config()
        self.shown = []

    def forecast_batch(self, images, instructions, k, steps, seeds, solver=None, history=None):
        self.shown.append(history)
        tracks = np.tile(POINTS, (len(images), k, 16, 1, 1, 1))
        return tracks, np.full(tracks.shape[:-1], 0.8, np.float32)


@pytest.mark.parametrize(("history", "seen"), [(None, 4), (3, 3), (0, 0)])
def test_a_model_with_a_history_is_shown_the_newest_frames_of_it(data, tmp_path, monkeypatch, history, seen):
    model = SeesThePast()
    monkeypatch.setattr(protocol, "load_point_forecaster", lambda *_: DenseForecaster(model))
    report = evaluate("x", data, [1], tmp_path / "r.json", history=history)
    assert report["convention"]["history_frames"] == seen
    assert report["views"]["side"]["mean_t"]["1"] == SUM_OF_SQUARES
    # Everything is visible, and said to be; of 15 frames 0, 0, 1, 3 and 7 are less than 1, 2, 4, 8 and 16 px away.
    scores = report["views"]["side"]["visibility"]
    assert scores["occlusion_accuracy"] == scores["occlusion_accuracy_everywhere"] == 1
    assert scores["average_jaccard"] == pytest.approx(np.mean([n / (30 - n) for n in (0, 0, 1, 3, 7)]))
    (shown,) = model.shown
    assert shown.tracks.shape == (4, 4, 64, 64, 2) and shown.tracks.dtype == np.float32
    side = [visible.all(axis=(1, 2)).tolist() for visible in shown.visible[:2]]
    assert side == [[False] * (4 - seen) + [True] * seen] * 2


@pytest.fixture(scope="module")
def moving_window(data):
    return next(moving_windows(ShardDataset(data, "val"), None, skipped=lambda: None))


def forecast_of(one, offset: float = 0.0, visibility=None) -> PointForecast:
    tracks = np.stack([one.drawn_truth + np.array([offset, 0])] * 2)
    return PointForecast(tracks, None, visibility)


def test_visibility_of_a_forecast_known_on_paper(moving_window):
    visible = np.ones((16, 64, 64), bool)
    visible[8:] = False  # of 15 frames after the present one, 7 are visible
    one = replace(moving_window, window=replace(moving_window.window, visibility=visible))
    said = np.full((16, 64 * 64), 0.9)
    scores = score_window(one, forecast_of(one, 3.0, said), [1, 2]).visibility  # 6 px at 256 px
    assert scores.visible == scores.occlusion_accuracy == pytest.approx(7 / 15)
    assert scores.visible_everywhere == scores.occlusion_accuracy_everywhere == pytest.approx(7 / 15)
    assert scores.points_within == {"1": 0, "2": 0, "4": 0, "8": 1, "16": 1}
    # Right for two thresholds of five: 7 of 7 visible and 8 false alarms.
    assert scores.average_jaccard == pytest.approx(2 / 5 * 7 / 15)
    said[8:] = 0.1
    scores = score_window(one, forecast_of(one, 0.0, said), [1, 2]).visibility
    assert scores.occlusion_accuracy == scores.average_jaccard == 1


def test_a_forecast_without_visibility_has_the_scores_of_positions_alone(moving_window):
    scores = score_window(moving_window, forecast_of(moving_window, 0.6), [1, 2]).visibility
    assert scores.points_within == {"1": 0, "2": 1, "4": 1, "8": 1, "16": 1}
    assert scores.occlusion_accuracy is None and scores.average_jaccard is None


def test_windows_in_which_nothing_is_visible_are_left_out_and_missing_visibility_is_a_dash(tmp_path, capsys):
    hidden = window("side", 1, 1.0, 10)
    hidden = replace(hidden, visibility=np.zeros_like(hidden.visibility))
    info = DatasetInfo(labeler="exact", stride=1)
    folder = prepared(tmp_path, info, [window("side", 0, 1.0, 10), hidden])
    report = evaluate("nothing_moves", folder, [1], tmp_path / "r.json")
    scores = report["views"]["side"]["visibility"]
    assert scores["visible"] == 0.5 and scores["occlusion_accuracy"] is None
    assert scores["points_within"]["16"] == pytest.approx(7 / 15)  # 2 px a frame at 256 px
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("average Jaccard"))
    assert line.split()[-1] == "-"
