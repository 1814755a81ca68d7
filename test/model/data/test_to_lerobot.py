"""Recordings as LeRobot datasets with their tracks beside each frame: what is in them, and what is refused."""

import json

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from layouts import INSTRUCTION, corners_of, episode, grey_of, write_lerobot, write_recordings

from trajforecast_model.cli import main
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions
from trajforecast_model.tracks.grid import query_points

GRID = ["--grid", "8x8", "--frames", "4"]


def export(data, out, *more):
    return main(["export", "lerobot", str(data), "--out", str(out), *more])


def rows_of(folder):
    files = sorted(folder.glob("data/*/*.parquet"))
    return [row for file in files for row in pa.parquet.read_table(file).to_pylist()]


def test_a_lerobot_dataset_keeps_its_state_and_action_and_gets_tracks(tmp_path):
    write_lerobot(tmp_path / "in", [(INSTRUCTION, episode(6)), ("open it", episode(5))], "v3.0", keys=("top", "wrist"), robot="so101")  # fmt: skip
    views = ["--view", "side=top", "--view", "effector=wrist"]
    assert export(tmp_path / "in", tmp_path / "out", *GRID, "--history", "2", *views) == 0
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_frames"]) == ("v3.0", 20, 2, 11)
    tracks = info["features"]["observed_tracks.side"]
    assert tracks["shape"] == [4, 8, 8, 2] and tracks["names"] == ["step", "row", "column", "xy"]
    assert tracks["info"]["labeler"] == "lucas_kanade" and tracks["info"]["pixels_of"] == "observation.images.side"
    assert info["features"]["observation.past_tracks.effector"]["shape"] == [2, 8, 8, 2]
    assert info["features"]["observation.past_visibility.effector"]["dtype"] == "bool"
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 11 and all(row["action"] == [0.0] * 7 for row in rows)
    assert [row["observed_steps"] for row in rows] == [4, 4, 3, 2, 1, 4, 4, 4, 3, 2, 1]
    for row in rows:
        np.testing.assert_array_equal(row["observed_tracks.side"][0], query_points((8, 8), (128, 128)))
    assert not np.any(rows[0]["observation.past_visibility.side"]) and np.shape(rows[9]["observed_visibility.side"]) == (4, 8, 8)  # fmt: skip


def test_our_reader_reads_what_was_exported(tmp_path):
    write_recordings(tmp_path / "in", [episode(6), episode(5)], ".png")
    assert export(tmp_path / "in", tmp_path / "out", *GRID, "--fps", "20") == 0
    cameras = {view: f"observation.images.{view}" for view in ("side", "effector")}
    (source,) = find_sources([tmp_path / "out"], SourceOptions(cameras=cameras))
    assert source.orientation == "upright" and source.names() == ["episode_000000", "episode_000001"]
    demo = source.read("episode_000000")
    assert (demo.instruction, demo.num_frames, demo.fps, demo.notes) == (INSTRUCTION, 6, 20, ())
    for number, image in demo.images["side"].items():
        assert grey_of(image) == grey_of(episode(6)["side"][number])
        assert all(place == seen for place, seen in corners_of(image).items())


def test_statistics_are_those_of_the_frames(tmp_path):
    write_recordings(tmp_path / "in", [episode(6), episode(5)], ".png")
    assert export(tmp_path / "in", tmp_path / "out", *GRID, "--fps", "20", "--view", "side") == 0
    told = json.loads((tmp_path / "out/meta/stats.json").read_text())["observed_tracks.side"]
    tracks = np.array([row["observed_tracks.side"] for row in rows_of(tmp_path / "out")])
    assert told["count"] == [11]
    np.testing.assert_allclose(told["mean"], tracks.mean(0), rtol=1e-5)
    np.testing.assert_allclose(told["std"], tracks.std(0), atol=1e-3)
    np.testing.assert_allclose(told["max"], tracks.max(0), rtol=1e-6)


def test_actions_of_libero_belong_to_their_frames_and_go_where_frames_are_left_out(tmp_path):
    with h5py.File(tmp_path / "lift_it_demo.hdf5", "w") as hdf5:
        group = hdf5.create_group("data/demo_0")
        group["states"] = np.zeros((6, 110))
        group["actions"] = np.arange(42.0).reshape(6, 7)
        for name, video in zip(("agentview_rgb", "eye_in_hand_rgb"), episode(6).values(), strict=True):
            group[f"obs/{name}"] = video[:, ::-1]
    options = [*GRID, "--labeler", "lucas_kanade"]
    assert export(tmp_path, tmp_path / "out", *options) == 0
    rows = rows_of(tmp_path / "out")
    # Trackers begin at the first recorded picture, that of frame 1.
    assert [row["action"][0] for row in rows] == [7, 14, 21, 28, 35]
    assert export(tmp_path / "lift_it_demo.hdf5", tmp_path / "slow", *options, "--dt", "0.1") == 0
    assert "action" not in rows_of(tmp_path / "slow")[0]


def test_forecasts_stand_beside_the_frames_they_were_made_from(tmp_path, capsys):
    write_recordings(tmp_path / "in", [episode(4)], ".png")
    more = ["--fps", "20", "--checkpoint", "libero_object_tiny", "--grid", "8x8", "-k", "2", "--steps", "1"]
    assert export(tmp_path / "in", tmp_path / "out", *more) == 0
    features = json.loads((tmp_path / "out/meta/info.json").read_text())["features"]
    assert features["forecast_tracks.effector"]["shape"] == [2, 16, 8, 8, 2]
    assert features["forecast_tracks.effector"]["names"][0] == "sample"
    assert "libero_object_tiny" in features["forecast_tracks.effector"]["info"]["checkpoint"]
    for row in rows_of(tmp_path / "out"):
        # The known first step of a forecast is where the observed tracks begin.
        forecast, observed = np.array(row["forecast_tracks.side"]), np.array(row["observed_tracks.side"])
        assert observed.shape == (16, 8, 8, 2)
        assert np.abs(forecast[:, 0] - observed[0]).max() < 2
    capsys.readouterr()
    assert export(tmp_path / "in", tmp_path / "b", *more, "--dt", "0.1") == 2
    assert "the checkpoint forecasts steps of 0.05 s" in capsys.readouterr().err
    assert export(tmp_path / "in", tmp_path / "b", *more[:-5], "7x7") == 2
    assert "must divide those of the checkpoint's grid, 64x64" in capsys.readouterr().err


def test_a_folder_that_exists_is_left_alone_and_nothing_half_is_left(tmp_path, capsys):
    write_recordings(tmp_path / "in", [episode(4)], ".png")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("x")
    assert export(tmp_path / "in", tmp_path / "there", "--fps", "20") == 2
    assert "give --out a new folder" in capsys.readouterr().err and (tmp_path / "there/mine").read_text() == "x"
    for picture in tmp_path.glob("in/*/*/0/*.png"):
        picture.write_bytes(b"no picture")
    assert export(tmp_path / "in", tmp_path / "out", "--fps", "20") == 2
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_broken_demos_are_named_and_the_others_exported(tmp_path, capsys):
    write_recordings(tmp_path / "in", [episode(4), episode(5)], ".png")
    next(tmp_path.glob("in/*/side/0/2.png")).write_bytes(b"no picture")
    assert export(tmp_path / "in", tmp_path / "out", *GRID, "--fps", "20") == 1
    assert "not exported: " in capsys.readouterr().err
    assert len(rows_of(tmp_path / "out")) == 5


@pytest.mark.parametrize(
    "more, said",
    [
        (["--fps", "20", "--grid", "7x7"], "--grid 7x7: its rows and columns must divide"),
        (["--fps", "20", "--frames", "1"], "--frames 1: expected 2 or more"),
        (["--fps", "20", "--labeler", "stored"], "--labeler stored"),
        (["--fps", "20", "--labeler", "exact"], "holds no simulator states"),
        (["--fps", "20", "--labeler", "magic"], "unknown labeler 'magic'"),
        (["--fps", "20", "-k", "3"], "-k: export without --checkpoint would ignore this"),
        (["--fps", "20", "--stamps", "receive"], "for bags, and none was found"),
        (["--fps", "12.5"], "a whole number"),
        (["--fps", "20", "--dt", "0"], "--dt 0"),
        (["--fps", "20", "--checkpoint", "nowhere"], "checkpoint 'nowhere' does not exist"),
        (["--fps", "20", "--checkpoint", "libero_object_tiny", "-k", "0"], "-k 0: expected at least 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_told_in_one_line(tmp_path, capsys, more, said):
    write_recordings(tmp_path / "in", [episode(4)], ".png")
    assert export(tmp_path / "in", tmp_path / "out", *more) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_recordings_of_several_rates_make_no_dataset(tmp_path, capsys):
    write_recordings(tmp_path / "in", [episode(6)], fps=20, task="a")
    write_recordings(tmp_path / "in", [episode(6)], fps=10, task="b")
    assert export(tmp_path / "in", tmp_path / "out", *GRID) == 2
    assert "a dataset has one rate; give --dt" in capsys.readouterr().err
    assert export(tmp_path / "in", tmp_path / "out", *GRID, "--dt", "0.1") == 0
    assert json.loads((tmp_path / "out/meta/info.json").read_text())["fps"] == 10
