"""Trackers measured against exact labels: the figures on made-up labels, the command on a real small scene."""

import json

import h5py
import numpy as np
import pytest
from small_scene import scene, states, write_demos

from trajforecast_model.cli import main
from trajforecast_model.data.demo import Demo
from trajforecast_model.data.labelers.exact import ExactLabeler
from trajforecast_model.evaluation.labeler_scores import score_labels
from trajforecast_model.evaluation.simulated_clips import Clip, clips_of_demo

FRAMES = 22


def clip() -> Clip:
    """Two still points and two that move by 3 px a frame; one of those is hidden from frame 8 on."""
    tracks = np.zeros((16, 4, 2), np.float32)
    tracks[...] = np.array([[20, 20], [40, 20], [20, 60], [40, 60]])
    tracks[:, 2:, 0] += 3 * np.arange(16)[:, None]
    visible = np.ones((16, 4), bool)
    visible[8:, 3] = False
    return Clip("side", np.zeros((16, 128, 128, 3), np.uint8), tracks, visible)


def test_exact_labels_are_perfect():
    one = clip()
    for figures in score_labels(one.tracks, one.visible, one).values():
        assert all(value == 1 for name, value in figures.items() if name != "squared_error"), figures
        assert figures["squared_error"] == 0


def test_thresholds_are_pixels_of_256_and_squared_errors_of_128():
    one = clip()
    figures = score_labels(one.tracks + np.array([0.0, 1.5]), one.visible, one)["all"]  # 3 px at 256
    assert [figures[f"within_{threshold}"] for threshold in (1, 2, 4, 8, 16)] == [0, 0, 1, 1, 1]
    assert figures["within_average"] == pytest.approx(0.6)
    assert figures["squared_error"] == pytest.approx(1.5**2)


def test_moving_points_stand_for_themselves():
    one = clip()
    still = np.broadcast_to(one.tracks[:1], one.tracks.shape)
    figures = score_labels(still, np.ones_like(one.visible), one)
    squares = (3.0 * np.arange(16)) ** 2
    assert figures["moving"]["squared_error"] == pytest.approx(squares.mean())
    assert figures["all"]["squared_error"] == pytest.approx(squares.mean() / 2)
    assert figures["moving"]["occlusion_accuracy"] == pytest.approx(1 - 8 / 30)


def test_a_window_in_which_nothing_moves_has_no_figures_of_moving_points():
    one = clip()
    still = Clip(one.view, one.video, np.repeat(one.tracks[:1], 16, axis=0), one.visible)
    assert list(score_labels(still.tracks, still.visible, still)) == ["all"]


@pytest.fixture(scope="module")
def exact():
    return ExactLabeler()


def demo(images=None) -> Demo:
    return Demo("push", "demo_0", "push", FRAMES, 20.0, images or {}, states(FRAMES), scene())


def test_clips_are_whole_windows_of_both_views_with_the_image_of_every_frame(exact):
    clips = list(clips_of_demo(demo(), exact, 2))
    assert [one.view for one in clips] == ["side", "effector"] * 2
    # As many frames from 1 on, since frame 0 has no recorded image, and up to the one before the last.
    recorded = {"side": {frame: np.full((128, 128, 3), frame, np.uint8) for frame in range(1, FRAMES)}}
    starts = []
    for one, plain in zip(clips_of_demo(demo(recorded), exact, 2), clips, strict=True):
        assert one.video.shape == (16, 128, 128, 3)
        np.testing.assert_array_equal(one.tracks, plain.tracks)
        np.testing.assert_array_equal(one.visible, plain.visible)
        if one.view == "side":
            starts.append(one.video[0, 0, 0, 0])
            np.testing.assert_array_equal(one.video[:, 5, 5, 0], starts[-1] + np.arange(16))
    assert starts == [1, FRAMES - 17]


def test_a_demo_without_a_whole_window_is_refused(exact):
    short = Demo("push", "demo_0", "push", 17, 20.0, {}, states(17), scene())
    with pytest.raises(ValueError, match="has 17 frames, fewer than the 18"):
        list(clips_of_demo(short, exact, 1))


@pytest.fixture
def demos(tmp_path):
    return write_demos(tmp_path / "push_demo.hdf5", {name: states(FRAMES) for name in ("demo_0", "demo_1")})


def test_the_command_measures_what_is_there_and_lists_what_is_not(demos, tmp_path, capsys):
    out, table = tmp_path / "r.json", tmp_path / "r.md"
    command = ["labeler-eval", str(demos), "--labelers", "lucas_kanade,cotracker3", "--per-task", "1", "--windows", "1"]
    assert (
        main([*command, "--checkout", f"cotracker3={tmp_path / 'none'}", "--out", str(out), "--table", str(table)]) == 0
    )

    report = json.loads(out.read_text())
    assert report["demos"] == 1 and list(report["labelers"]) == ["nothing_moves", "lucas_kanade"]
    assert "none is not a folder" in report["unavailable"]["cotracker3"]
    still, followed = (report["labelers"][name]["effector"]["moving"] for name in ("nothing_moves", "lucas_kanade"))
    assert still["n_windows"] == followed["n_windows"] == 1
    assert followed["squared_error"] < still["squared_error"]
    printed = capsys.readouterr().out
    assert "effector, moving points (1 windows)" in printed and "not available: cotracker3: checkout" in printed
    assert "| lucas kanade |" in table.read_text()


def test_a_broken_demo_is_listed_and_the_others_used(demos, tmp_path, capsys):
    with h5py.File(demos, "a") as file:
        del file["data/demo_0/states"]
    command = ["labeler-eval", str(demos), "--labelers", "lucas_kanade", "--windows", "1"]
    assert main([*command, "--out", str(tmp_path / "r.json")]) == 1
    assert "not used: " in capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text())["demos"] == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--labelers", "raft"], "unknown labeler 'raft'; those measured against exact: lucas_kanade"),
        (["--labelers", "lucas_kanade", "--weights", "x=y"], "unknown labeler 'x'"),
        (["--labelers", "lucas_kanade", "--weights", "y"], "--weights y: expected LABELER=PATH"),
        (["--labelers", "lucas_kanade", "--windows", "0"], "--windows 0: expected at least 1"),
        (["--labelers", "tapnext", "--checkout", "tapnext=/nowhere"], "no labeler is available: tapnext: checkout"),
    ],
)
def test_errors_of_use_are_one_line(demos, tmp_path, capsys, arguments, message):
    assert main(["labeler-eval", str(demos), *arguments, "--out", str(tmp_path / "r.json")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()
