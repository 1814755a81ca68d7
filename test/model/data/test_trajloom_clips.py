"""TrajLoom's own files: videos with the tracks of a grid of their first frame beside them, and their captions."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import write_video

from trajforecast_model.cli import main
from trajforecast_model.data import prepare
from trajforecast_model.data.shards import ShardDataset, read_info
from trajforecast_model.data.sources.trajloom.tracks_file import read_tracks

GRID, SIZE, FRAMES = (3, 4), (48, 64), 9  # cells of 16 pixels
POINTS = GRID[0] * GRID[1]
CORNERS = np.array([(16 * column, 16 * row) for row in range(3) for column in range(4)], float)  # x, y
OPTIONS = ["--labeler", "stored", "--workers", "1"]
GEOMETRY = ["--image-size", "48x64", "--grid", "3x4", "--history", "4", "--frames", "7"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """The processes of `prepare` take longer to start than all that is prepared here."""

    def run(make_worker, next_job, processes):
        worker = make_worker()
        while (job := next_job(None)) is not None:
            yield job, pickle.loads(pickle.dumps(worker))(pickle.loads(pickle.dumps(job)))

    monkeypatch.setattr(prepare, "run_in_processes", run)


def tracks(frames: int = FRAMES) -> np.ndarray:
    """[N, T, 2]: every point goes right by a pixel and a half a frame."""
    return CORNERS[:, None] + np.arange(frames)[:, None] * [1.5, 0.0]


def seen(frames: int = FRAMES) -> np.ndarray:
    """bool [N, T]"""
    return np.random.default_rng(0).random((POINTS, frames)) < 0.7


def write_clip(folder: Path, name: str = "clip", frames: int = FRAMES, **arrays) -> Path:
    video = np.zeros((frames, *SIZE, 3), np.uint8) + 20 * np.arange(frames, dtype=np.uint8)[:, None, None, None]
    write_video(folder / f"{name}.avi", video, fps=10)
    path = folder / f"{name}.npz"
    np.savez(path, **(arrays or {"tracks": tracks(frames), "visibility": seen(frames)}))
    return path


@pytest.fixture
def clips(tmp_path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_clip(folder, "a")
    write_clip(folder, "b", frames=12)
    (folder / "captions.csv").write_text('videoid,text\na,a cup slides\n,\nb.avi,"a ball, rolling"\n')
    return folder


def test_one_window_a_video_with_its_past_its_words_and_its_rate(clips, tmp_path, capsys):
    write_video(clips / "c.avi", np.zeros((3, *SIZE, 3), np.uint8), fps=10)
    out = tmp_path / "out"
    assert main(["prepare", str(clips), "--out", str(out), *OPTIONS, *GEOMETRY, "--history-pictures"]) == 0
    assert "left out, since no tracks lie beside them: c.avi" in capsys.readouterr().err
    info = read_info(out)
    assert (info.labeler, info.anchor, info.views, info.dt) == ("stored", "first", ("side",), 0.1)
    dataset = ShardDataset(out, "all", anchors=("first",))
    assert dataset.rows.instruction.tolist() == ["a cup slides", "a ball, rolling"]
    assert dataset.rows.start.tolist() == [4, 4] and dataset.rows.num_real_frames.tolist() == [5, 7]
    window = dataset[0]
    expected = (tracks() + 0.5).swapaxes(0, 1).reshape(-1, *GRID, 2)  # [T, H, W, 2], ours: a pixel's corner is 0
    np.testing.assert_allclose(window.history_tracks, expected[:4], atol=0.01)
    np.testing.assert_allclose(window.tracks, expected[[4, 5, 6, 7, 8, 8, 8]], atol=0.01)
    flags = seen().T.reshape(-1, *GRID)
    np.testing.assert_array_equal(window.history_visibility, flags[:4])
    np.testing.assert_array_equal(window.visibility[:5], flags[4:])
    greys = [picture.mean() for picture in (*window.history_images, window.image)]
    np.testing.assert_allclose(greys, 20 * np.arange(5), atol=2)


def test_tracks_come_at_the_size_of_the_images(clips, tmp_path):
    options = [*GEOMETRY, "--image-size", "24x32", "--dt", "0.2"]
    assert main(["prepare", str(clips), "--out", str(tmp_path / "out"), *OPTIONS, *options, "--history", "2"]) == 0
    window = ShardDataset(tmp_path / "out", "train", anchors=("first",))[0]
    every_other = ((tracks() + 0.5) / 2).swapaxes(0, 1).reshape(-1, *GRID, 2)[::2]
    np.testing.assert_allclose(np.concatenate([window.history_tracks, window.tracks])[:5], every_other, atol=0.01)


@pytest.mark.parametrize(
    "arrays",
    [
        {"trajectory": tracks(), "visibility": seen()},
        {"trajectories": tracks().astype(np.float32), "visibilities": seen().astype(float) * 0.8},
        {"tracks": tracks().swapaxes(0, 1), "vis": seen().T},
        {"tracks": tracks().swapaxes(0, 1), "vis": seen()},
        {"tracks": tracks(), "occlusion": ~seen()},
        {"tracks": tracks(), "occluded": 1 - 0.9 * seen()},
    ],
)
def test_the_names_and_axes_that_are_in_use(tmp_path, arrays):
    np.savez(tmp_path / "clip.npz", **arrays)
    read = read_tracks(tmp_path / "clip.npz", GRID, SIZE, FRAMES)
    np.testing.assert_allclose(read.positions, (tracks() + 0.5).swapaxes(0, 1), atol=1e-4)
    np.testing.assert_array_equal(read.visible, seen().T)


@pytest.mark.parametrize("in_time", [False, True])
def test_as_many_frames_as_points_are_told_apart_by_the_grid(tmp_path, in_time):
    stored, flags = tracks(POINTS), seen(POINTS)
    if in_time:
        stored, flags = stored.swapaxes(0, 1), flags.T
    np.savez(tmp_path / "clip.npz", tracks=stored, vis=flags)
    read = read_tracks(tmp_path / "clip.npz", GRID, SIZE, POINTS)
    np.testing.assert_allclose(read.positions[0], CORNERS + 0.5, atol=1e-4)
    np.testing.assert_array_equal(read.visible, seen(POINTS).T)


def test_hidden_points_that_are_nowhere_stay_where_they_were(tmp_path):
    stored, flags = tracks(), np.ones((POINTS, FRAMES), bool)
    stored[0, 3:], flags[0, 3:] = np.nan, False
    stored[1, :2], flags[1, :2] = np.inf, False
    stored[2], flags[2] = np.nan, False
    np.savez(tmp_path / "clip.npz", tracks=stored, vis=flags)
    read = read_tracks(tmp_path / "clip.npz", GRID, SIZE, FRAMES)
    np.testing.assert_allclose(read.positions[2:, 0], np.broadcast_to(tracks()[0, 2] + 0.5, (7, 2)))
    np.testing.assert_allclose(read.positions[:3, 1], np.broadcast_to(tracks()[1, 2] + 0.5, (3, 2)))
    np.testing.assert_allclose(read.positions[:, 2], np.broadcast_to(CORNERS[2] + 0.5, (FRAMES, 2)))
    np.testing.assert_array_equal(read.visible, flags.T)


def seen_nowhere() -> dict:
    stored, flags = tracks(), seen()
    stored[5, 2], flags[5, 2] = np.nan, True
    return {"tracks": stored, "visibility": flags}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"tracks": tracks()[..., 0], "visibility": seen()}, "expected 12 x 9 x 2"),
        ({"tracks": tracks().transpose(2, 0, 1), "visibility": seen()}, "expected 12 x 9 x 2"),
        ({"tracks": tracks()[..., ::-1], "visibility": seen()}, "x before y"),
        ({"tracks": tracks()[np.random.default_rng(0).permutation(POINTS)], "visibility": seen()}, "row by row"),
        ({"tracks": tracks()[:10], "visibility": seen()[:10]}, "the 12 points of a grid of 3 x 4"),
        ({"tracks": tracks(7), "visibility": seen(7)}, "of 7 frames, the video has 9"),
        ({"tracks": tracks(15), "visibility": seen(15)}, "of 15 frames, the video has 9"),
        ({"tracks": tracks(), "visibility": seen(7)}, "expected a flag a position"),
        ({"tracks": tracks()}, "none of visibility"),
        ({"points": tracks(), "visibility": seen()}, "none of trajectory, trajectories, tracks; it has points"),
        ({"tracks": tracks().astype(str), "visibility": seen()}, "expected numbers"),
        (seen_nowhere(), "point 5 is visible in frame 2"),
    ],
)
def test_tracks_of_another_shape_are_refused_in_one_line(tmp_path, capsys, arrays, said):
    write_clip(tmp_path, **arrays)
    command = ["prepare", str(tmp_path), "--out", str(tmp_path / "out"), *OPTIONS, *GEOMETRY, "--instruction", "go"]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "clip.npz" in told and said in told and len(told.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.arrow"))


def test_a_file_that_is_no_npz_is_named(tmp_path, capsys):
    write_clip(tmp_path).write_bytes(b"PK\x03\x04 torn")
    command = ["prepare", str(tmp_path), "--out", str(tmp_path / "out"), *OPTIONS, *GEOMETRY, "--instruction", "go"]
    assert main([*command, "--dry-run"]) == 2
    assert "clip.npz is not an npz file of tracks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--anchor", "present"], "stored tracks begin in the first frame"),
        (["--stride", "2"], "one window of each video"),
        (["--history", "8"], "has 9 frames"),
        (["--view", "side", "--view", "effector"], "of one view"),
        (["--orientation", "mirrored"], "upright"),
        (["--captions", "/nowhere.csv"], "/nowhere.csv is not a CSV file"),
        (["--labeler-device", "cuda"], "leave them out"),
    ],
)
def test_what_stored_tracks_cannot_give_is_refused(tmp_path, capsys, options, said):
    write_clip(tmp_path / "clips")
    command = ["prepare", str(tmp_path / "clips"), "--out", str(tmp_path / "out"), *OPTIONS, *GEOMETRY]
    assert main([*command, "--instruction", "go", *options]) == 2
    assert said in capsys.readouterr().err


def test_a_video_without_words_is_named_and_so_are_two_files_of_them(clips, tmp_path, capsys):
    command = ["prepare", str(clips), "--out", str(tmp_path / "out"), *OPTIONS, *GEOMETRY]
    write_clip(clips, "unspoken")
    assert main(command) == 2
    assert "no instruction in" in capsys.readouterr().err
    (clips / "more.csv").write_text("video_path,text\nclips/unspoken.mp4,it turns\n")
    assert main(command) == 2
    assert "name one: --captions FILE" in capsys.readouterr().err
    assert main([*command, "--captions", str(clips / "more.csv"), "--instruction", "it goes on"]) == 0
    words = ShardDataset(tmp_path / "out", "all", anchors=("first",)).rows.instruction.tolist()
    assert sorted(words) == ["it goes on", "it goes on", "it turns"]


def test_archives_of_the_hub_are_to_be_unzipped(tmp_path, capsys):
    command = ["prepare", "--out", str(tmp_path / "out"), *OPTIONS, *GEOMETRY]
    archive = tmp_path / "kubric_video.zip"
    archive.write_bytes(b"")
    for place in (archive, tmp_path):
        assert main([*command, str(place)]) == 2
        told = capsys.readouterr().err
        assert "kubric_video.zip: archives are not read; unzip" in told


def test_videos_and_tracks_may_be_in_the_folders_of_their_archives(tmp_path):
    apart = tmp_path / "hub"
    write_clip(apart / "kubric_video" / "part")
    (apart / "kubric_alltracker_s32").mkdir()
    shutil.move(apart / "kubric_video" / "part", apart / "kubric_alltracker_s32" / "part")
    (apart / "kubric_video" / "part").mkdir()
    shutil.move(apart / "kubric_alltracker_s32" / "part" / "clip.avi", apart / "kubric_video" / "part")
    command = ["prepare", str(apart), "--out", str(tmp_path / "out"), *OPTIONS, *GEOMETRY, "--instruction", "go"]
    assert main(command) == 0
    assert ShardDataset(tmp_path / "out", anchors=("first",)).rows.demo.tolist() == ["kubric_video/part/clip"]


def test_what_takes_the_present_grid_refuses_it(clips, tmp_path):
    assert main(["prepare", str(clips), "--out", str(tmp_path / "out"), *OPTIONS, *GEOMETRY]) == 0
    with pytest.raises(ValueError, match=r"--anchor first.*takes windows of --anchor present"):
        ShardDataset(tmp_path / "out")


def test_recordings_hold_no_tracks(tmp_path, capsys):
    write_video(tmp_path / "task" / "side" / "0.avi", np.zeros((5, *SIZE, 3), np.uint8), fps=20)
    (tmp_path / "task" / "instruction.txt").write_text("go")
    command = ["prepare", str(tmp_path), "--out", str(tmp_path / "out"), "--view", "side", *GEOMETRY]
    assert main([*command, "--labeler", "stored"]) == 2
    assert "recordings hold no tracks" in capsys.readouterr().err
    assert main([*command, "--labeler", "lucas_kanade", "--captions", str(tmp_path / "c.csv")]) == 2
    assert "--captions: there are no videos with stored tracks" in capsys.readouterr().err
