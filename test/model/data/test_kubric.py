"""Kubric's scenes: their exact tracks against rays cast by other code, and what is wrong with a scene's folder."""

import json

import numpy as np
import pytest
from kubric_layout import FRAMES, SIDE, scene, where_it_goes, write_scene
from PIL import Image

from trajforecast_model.cli import main
from trajforecast_model.data.shards import ShardDataset, read_info
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.data.sources.interface import SourceOptions
from trajforecast_model.tracks.grid import query_points

OPTIONS = SourceOptions(cameras={"camera": None}, image_size=(SIDE, SIDE))


@pytest.fixture(scope="module")
def movi(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kubric") / "movi_a"
    told = write_scene(folder / "0")
    return folder, told


def prepare(folder, out, *more):
    return main(["prepare", str(folder), "--out", str(out), "--workers", "1", *more])


def test_tracks_are_where_rays_say(movi, tmp_path):
    folder, told = movi
    small = ["--image-size", f"{SIDE}x{SIDE}", "--grid", "32x32", "--frames", str(FRAMES)]
    assert prepare(folder, tmp_path, *small) == 0
    info = read_info(tmp_path)
    assert (info.labeler, info.views, info.dt) == ("exact", ("camera",), 1 / 12)
    (window,) = ShardDataset(tmp_path)
    assert (window.task, window.demo, window.instruction, window.num_real_frames) == ("movi_a", "0", "", FRAMES)
    points = query_points((32, 32), (SIDE, SIDE)).reshape(-1, 2)
    assert np.abs(window.tracks[-1] - window.tracks[0]).max() > 8
    for frame in range(FRAMES):
        there, seen = where_it_goes(told, 0, points.astype(float), frame)
        assert np.abs(window.tracks[frame].reshape(-1, 2) - there).max() < 0.05
        said = window.visibility[frame].reshape(-1)
        # At the edge of what hides a point, a pixel more or less is a matter of taste.
        assert (said == seen).mean() > 0.985
    assert not window.visibility.all() and window.visibility[0].all()


def test_history_and_windows_from_later_frames_are_exact_too(movi, tmp_path):
    folder, told = movi
    small = ["--image-size", f"{SIDE}x{SIDE}", "--grid", "16x16", "--frames", "3", "--stride", "4", "--history", "2"]
    assert prepare(folder, tmp_path, *small) == 0
    window = ShardDataset(tmp_path)[1]
    assert window.start == 4
    points = query_points((16, 16), (SIDE, SIDE)).reshape(-1, 2).astype(float)
    for frame, tracks in ((2, window.history_tracks[0]), (3, window.history_tracks[1]), (6, window.tracks[2])):
        there, _ = where_it_goes(told, 4, points, frame)
        assert np.abs(tracks.reshape(-1, 2) - there).max() < 0.05


def test_the_geometry_is_that_of_the_config_unless_another_is_asked_for(movi, tmp_path, capsys):
    folder, _ = movi
    assert prepare(folder, tmp_path / "out") == 0
    info = read_info(tmp_path / "out")
    assert (info.num_frames, info.grid, info.image_size, info.stride) == (24, (32, 32), (256, 256), 24)
    assert prepare(folder / "0", tmp_path / "one", "--dry-run") == 0
    assert "1 demos" in capsys.readouterr().out


def test_the_picture_and_the_numbers_of_instances_are_read_as_they_are(movi):
    folder, _ = movi
    (source,) = find_sources([folder], OPTIONS)
    demo = source.read("0")
    assert demo.fps == 12 and set(np.unique(demo.geometry["camera"].body)) == {0, 1, 2}
    reds = demo.images["camera"][0][demo.geometry["camera"].body[0] == 1]
    assert (reds[:, 0] > reds[:, 2]).all()


def test_trackers_and_words_are_taken_too(movi, tmp_path):
    folder, _ = movi
    more = ["--image-size", "64x64", "--grid", "16x16", "--frames", "4", "--labeler", "lucas_kanade"]
    assert prepare(folder, tmp_path, *more, "--instruction", "let it fall", "--view", "side") == 0
    assert ShardDataset(tmp_path)[0].instruction == "let it fall" and read_info(tmp_path).views == ("side",)


def changed(**values):
    told = scene()
    for path, value in values.items():
        place = told
        *before, last = path.split("__")
        for name in before:
            place = place[int(name) if name.isdigit() else name]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return told


@pytest.mark.parametrize(
    "told, said",
    [
        (changed(camera__focal_length=None), "is not a perspective scene's metadata"),
        (changed(metadata__num_frames=1), "expected two frames or more"),
        (changed(metadata__num_frames=9), "positions of the camera are [8, 3], expected 9 times 3"),
        (changed(instances__0__quaternions=[[2.0, 0, 0, 0]] * FRAMES), "quaternions of instance 1 are not of length 1"),
        (changed(instances__1__positions=None), "instance 2 has no positions"),
        (changed(instances=[]), "numbers up to 2"),
        (changed(camera__K=[[1, 0, -0.4], [0, -1, -0.5], [0, 0, -1]]), "principal point is not in the middle"),
        (changed(metadata__resolution=[32, 32]), "is no depth map of 32 x 32"),
        (changed(metadata__frame_rate=6), "recorded at 6 frames a second, 12 wanted"),
    ],
)  # fmt: skip
def test_metadata_that_do_not_fit_are_named(movi, tmp_path, capsys, told, said):
    folder, _ = movi
    (tmp_path / "movi").mkdir()
    copy = tmp_path / "movi/0"
    copy.mkdir()
    for file in (folder / "0").iterdir():
        (copy / file.name).symlink_to(file)
    (copy / "metadata.json").unlink()
    (copy / "metadata.json").write_text(json.dumps(told))
    assert prepare(tmp_path / "movi", tmp_path / "out") == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["depth_00003.tiff", "segmentation_00003.png", "rgba_00003.png"])
@pytest.mark.parametrize("damage", ["gone", "cut off", "colours"])
def test_a_damaged_file_of_a_scene_is_named_and_the_others_prepared(tmp_path, capsys, name, damage):
    for number in ("0", "1"):
        write_scene(tmp_path / "movi" / number)
    file = tmp_path / "movi/1" / name
    if damage == "gone":
        file.unlink()
    elif damage == "cut off":
        file.write_bytes(file.read_bytes()[:60])
    elif name.startswith("rgba"):
        pytest.skip("a picture has colours")
    else:
        Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(file)
    assert prepare(tmp_path / "movi", tmp_path / "out") == 1
    assert str(file) in capsys.readouterr().err and len(ShardDataset(tmp_path / "out", "all")) == 1


@pytest.mark.parametrize(
    "more, said",
    [
        (["--view", "side", "--view", "effector"], "Kubric's scenes have one camera; name its view"),
        (["--view", "camera=front"], "--view camera=front"),
        (["--orientation", "mirrored"], "--orientation mirrored"),
        (["--labeler", "stored"], "--labeler stored makes one window of each video"),
        (["--grid", "30x30"], "--grid 30x30"),
    ],
)
def test_options_that_scenes_cannot_have_are_refused(movi, tmp_path, capsys, more, said):
    assert prepare(movi[0], tmp_path / "out", *more) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()
