"""Checkpoints of TrajLoom where a checkpoint that forecasts from a picture can be: predict, view, export, evaluate."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import write_video
from moving_data import TASK, prepared
from tiny_trajloom_networks import write_trajloom

from trajforecast_model import Forecaster
from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, ShardDataset, Window
from trajforecast_model.evaluation.forecasters.points import predict_windows
from trajforecast_model.evaluation.protocol import evaluate
from trajforecast_model.evaluation.trajloom.benchmark import evaluate_checkpoint
from trajforecast_model.evaluation.trajloom.models import RECONSTRUCTION
from trajforecast_model.evaluation.trajloom.reconstruction import reconstructed
from trajforecast_model.evaluation.windows import with_newest_history
from trajforecast_model.tracks.grid import query_points
from trajforecast_model.tracks.history import History
from trajforecast_model.viewing.windows import scenes_of_windows

PAST = 15  # frames before the present one
DATA = DatasetInfo(labeler="exact", stride=1, history_frames=PAST, grid=(8, 8))
POINTS = query_points(DATA.grid, DATA.image_size)
# 4 x 4 cells of 2 x 2 points, the first of which is 8 px from its cell's first pixel.
SIZE = {"frames": 15, "size": (128, 128), "patch": 32, "text": None, "dt": 0.05, "point": (8.0, 8.0)}


def window(view: str, start: int, speed: float, history: int = PAST) -> Window:
    """Every point moves to the right by `speed` px a frame, and did so before."""
    tracks = np.tile(POINTS, (history + 16, 1, 1, 1))
    tracks[..., 0] += speed * np.arange(-history, 16, dtype=np.float32)[:, None, None]
    seen, image = np.ones(tracks.shape[:3], bool), np.full((128, 128, 3), start, np.uint8)
    past = {"history_tracks": tracks[:history], "history_visibility": seen[:history]}
    return Window(TASK, "demo_9", start, view, "pick up the milk", image, tracks[history:], seen[history:], 16, **past)


@pytest.fixture(scope="module")
def any_point(tmp_path_factory) -> Path:
    """Trained on any of a cell's points."""
    folder = tmp_path_factory.mktemp("any_point")
    return write_trajloom(folder, **SIZE, anchor="present", any_point=True)


@pytest.fixture(scope="module")
def corner(tmp_path_factory) -> Path:
    return write_trajloom(tmp_path_factory.mktemp("corner"), **SIZE, anchor="present")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    speeds = {"side": 1.0, "effector": 2.0}
    windows = [window(view, start, speed) for view, speed in speeds.items() for start in (0, 1)]
    return prepared(tmp_path_factory.mktemp("data"), DATA, windows)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A second of video at 30 frames a second, whose picture slides to the right."""
    wide = np.random.default_rng(0).integers(0, 256, (24, 60, 3), dtype=np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    frames = np.stack([wide[:, 60 - 2 * t : 220 - 2 * t] for t in range(30)])
    return write_video(tmp_path_factory.mktemp("clip") / "side.avi", frames, 30.0)


def predict(checkpoint: Path, out: Path, *more: str) -> int:
    return main(
        ["predict", "--checkpoint", str(checkpoint), "--out", str(out), "--instruction", "go", "-k", "2", *more]
    )


@pytest.mark.parametrize("anchor", ["first", "present"])
def test_a_moment_of_a_video_is_forecast_looked_at_and_exported(clip, tmp_path, anchor):
    folder = write_trajloom(tmp_path / "checkpoint", dt=0.05, anchor=anchor)
    out = tmp_path / "f.npz"
    assert predict(folder, out, "--video", f"side={clip}", "--at", "0.9", "--overlay", str(tmp_path / "f.png")) == 0
    arrays = np.load(out)
    assert arrays["tracks"].shape == (1, 2, 10, 3, 5, 2) and arrays["visibility"].shape == (1, 2, 10, 3, 5)
    assert np.isfinite(arrays["tracks"]).all() and float(arrays["dt"]) == 0.05
    now = arrays["tracks"][0, 0, 0]
    points = Forecaster.from_pretrained(folder).query_points((96, 160))
    way = {"first": 8 * 3, "present": 0}[anchor]  # 3 px a step of 0.05 s
    np.testing.assert_allclose(now[1, 1:4] - points[1, 1:4], np.broadcast_to([way, 0], (3, 2)), atol=1.5)

    assert main(["view", str(out), "--out", str(tmp_path / "f.html")]) == 0
    size = ["--size", "96x160", "--frames", "12", "--view", "side"]
    assert main(["export", "wan-move", str(out), "--out", str(tmp_path / "wan"), *size]) == 0
    seen = np.load(tmp_path / "wan" / "visibility.npy")
    assert np.load(tmp_path / "wan" / "tracks.npy").shape == (1, 12, 15, 2) and not seen[:, 10:].any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--at", "0.2"], "there are pictures for 4 of 8 steps, 0.05 s apart"),
        (["--at", "0"], "history of view 'side': got none, expected the 8 pictures before the present one"),
        (["--at", "3"], "ends after 1.00 s"),
    ],
)
def test_a_moment_without_all_of_its_past_is_refused_in_a_line(clip, tmp_path, capsys, given, message):
    folder = write_trajloom(tmp_path / "checkpoint", dt=0.05)
    assert predict(folder, tmp_path / "f.npz", "--video", f"side={clip}", *given) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said and not (tmp_path / "f.npz").exists()


def test_the_libero_protocol_evaluates_every_point_in_its_turn(data, any_point, tmp_path):
    report = evaluate(any_point, data, [1, 2], tmp_path / "r.json")
    side = report["views"]["side"]
    assert side["n_windows"] == 2 and side["visibility"]["occlusion_accuracy"] is not None
    assert all(np.isfinite(side[metric][k]) for metric in ("mean_t", "min") for k in ("1", "2"))
    assert side["mean_t"]["2"] < side["mean"]["2"], "samples differ"
    assert report["convention"]["history_frames"] == PAST and report["convention"]["solver_steps"] == 2


def test_points_in_turn_are_those_of_forecasts_of_one_point_a_cell(data, any_point):
    forecaster, made = Forecaster.from_pretrained(any_point), ShardDataset(data, "val")[0]
    past = History(made.history_tracks[None], made.history_visibility[None])
    tracks, seen = forecaster.forecast_batch(made.image[None], ["go"], 2, None, [3], history=past)
    assert tracks.shape == (1, 2, 16, 8, 8, 2) and seen.shape == (1, 2, 16, 8, 8)
    np.testing.assert_allclose(tracks[0, :, 0], np.broadcast_to(POINTS, (2, 8, 8, 2)), atol=1e-5)
    forecaster.config = replace(forecaster.config, any_point=False, point=(8.0, 8.0))
    first, _ = forecaster.forecast_batch(made.image[None], ["go"], 2, None, [3], history=past)
    np.testing.assert_allclose(tracks[..., ::2, ::2, :], first[..., ::2, ::2, :], atol=1e-3)
    assert np.abs(tracks[..., 1::2, 1::2, :] - first[..., 1::2, 1::2, :]).max() > 1e-2, "the others have their own"


@pytest.mark.parametrize("frames", [0, 4])
def test_of_the_past_that_is_not_shown_nothing_is_known(data, corner, tmp_path, frames):
    """Neither where points were nor that they were seen; it is as at a demo's beginning."""
    forecaster, made = Forecaster.from_pretrained(corner), ShardDataset(data, "val")[0]
    forecasts = []
    for drifted in (0.0, 5.0):
        tracks = made.history_tracks.copy()
        tracks[: PAST - frames] += drifted
        less = with_newest_history(replace(made, history_tracks=tracks), frames)
        forecasts.append(predict_windows(forecaster, [less], 1, None, [3])[0])
    whole = predict_windows(forecaster, [made], 1, None, [3])[0]
    assert np.array_equal(*forecasts) and np.abs(forecasts[0] - whole).max() > 1e-3
    report = evaluate(corner, data, [1], tmp_path / "r.json", history=frames)
    assert report["convention"]["history_frames"] == frames


def test_a_model_of_one_point_a_cell_moves_the_others_along(data, corner, tmp_path):
    forecaster, made = Forecaster.from_pretrained(corner), ShardDataset(data, "val")[0]
    past = History(made.history_tracks[None], made.history_visibility[None])
    tracks, seen = forecaster.forecast_batch(made.image[None], ["go"], 1, None, [3], history=past)
    moved = tracks - tracks[:, :, :1]
    for i, j in ((0, 1), (1, 0), (1, 1)):
        np.testing.assert_allclose(moved[..., i::2, j::2, :], moved[..., ::2, ::2, :], atol=1e-4)
        assert (seen[..., i::2, j::2] == seen[..., ::2, ::2]).all()
    np.testing.assert_allclose(tracks[0, 0, 0], POINTS, atol=1e-5)
    assert evaluate(corner, data, [1], tmp_path / "r.json")["views"]["effector"]["n_windows"] == 2


def test_trajlooms_benchmark_takes_prepared_data_and_a_checkpoint(data, corner, any_point, tmp_path):
    report = evaluate_checkpoint(corner, data, tmp_path / "r.json")
    assert set(report["views"]) == {"side", "effector"} and "corner" in report["model"]
    assert RECONSTRUCTION not in json.dumps(report), "its VAE knows one point a cell"
    assert RECONSTRUCTION in json.dumps(evaluate_checkpoint(any_point, data, tmp_path / "any.json"))


def test_what_the_vae_makes_of_the_future_is_that_of_its_points_in_turn(data, any_point):
    forecaster, made = Forecaster.from_pretrained(any_point), ShardDataset(data, "val")[0]
    again = reconstructed(forecaster, [made])
    assert again.shape == (1, 16, 8, 8, 2) and np.array_equal(again[0, 0], made.tracks[0])
    future = torch.from_numpy(made.tracks[1:, 1::2, ::2] - 0.5).movedim(-1, 1)[None] / 64 - 1
    with torch.inference_mode():
        decoded = forecaster.vae.decode(forecaster.vae.encode(future)[0])
    expected = 64 * (decoded[0].movedim(1, -1).numpy() + 1) + 0.5
    np.testing.assert_allclose(again[0, 1:, 1::2, ::2], expected, atol=1e-3)


def test_prepared_data_is_looked_at_with_the_past_of_its_windows(data, corner):
    scenes = scenes_of_windows(data, "val", 2, [str(corner)], 2, "cpu", "float32")
    [tracks] = scenes[0].views[0].forecasts.values()
    assert tracks.shape == (2, 16, 8, 8, 2)


@pytest.mark.parametrize(
    ("made_otherwise", "changes", "message"),
    [
        ({"dt": 0.1}, {}, "the data has dt 0.05, the checkpoint 0.1"),
        ({"frames": 9}, {}, "the data has num_frames 16, the checkpoint 10"),
        ({"anchor": "first"}, {}, "on the grid in the first frame of the past, the data's in the present one"),
        ({"point": (5.0, 1.0)}, {}, "the data's first point is 8 px right of"),
        ({"size": (128, 144), "patch": 16}, {}, "8 x 8 points, the checkpoint 8 x 9 cells, which do not divide them"),
        ({}, {"history_frames": 4}, "history: got 4 frames before the present one, expected 14"),
    ],
)
def test_other_data_is_refused_in_a_line(tmp_path, capsys, made_otherwise, changes, message):
    settings = SIZE | {"anchor": "present"} | made_otherwise
    folder = write_trajloom(tmp_path / "checkpoint", **settings)
    history = changes.get("history_frames", PAST)
    info = replace(DATA, history_frames=history)
    shards = prepared(_made(tmp_path / "data"), info, [window("side", 0, 1.0, history)])
    assert (
        main(["evaluate", "--checkpoint", str(folder), "--data", str(shards), "--out", str(tmp_path / "r.json")]) == 2
    )
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


@pytest.mark.parametrize(
    "command",
    [
        ["bench", "--checkpoint", "CHECKPOINT"],
        ["few-steps", "--checkpoint", "CHECKPOINT", "--data", "DATA", "--out", "r.json"],
        ["evaluate", "--protocol", "futures", "--checkpoint", "CHECKPOINT", "--data", "DATA", "--out", "r.json"],
        ["finetune", "--from", "CHECKPOINT", "--data", "DATA", "--out", "run"],
    ],
)
def test_what_shows_no_past_says_so_in_a_line(corner, tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    twice = [window("side", start, speed) for start in (0, 1) for speed in (1.0, 2.0)]  # two futures of two scenes
    places = {"CHECKPOINT": str(corner), "DATA": str(prepared(_made(tmp_path / "data"), DATA, twice))}
    assert main([places.get(word, word) for word in command]) == 2
    said = capsys.readouterr().err
    assert re.search(r"forecasts from (the past|past tracks) alone", said) and "Traceback" not in said


def test_reports_of_it_compare_with_others_of_the_same_windows(data, corner, tmp_path, capsys):
    evaluate(corner, data, [1], tmp_path / "trajloom.json")
    evaluate("constant_velocity", data, [1], tmp_path / "velocity.json")
    assert main(["compare", str(tmp_path / "trajloom.json"), str(tmp_path / "velocity.json")]) == 0
    assert json.loads((tmp_path / "trajloom.json").read_text())["per_task"][TASK]
    assert "velocity" in capsys.readouterr().out


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
