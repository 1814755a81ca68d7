"""`trajforecast prepare` of block scenes: shards that training takes, all futures of a scene on one side of the split."""

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest

from trajforecast_model.cli import main
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.evaluation.futures import futures_of_scenes
from trajforecast_model.images import resize_image
from trajforecast_model.sim.blocks.generate import SETTINGS_FILE, BlockSettings, SceneJob, SceneSimulator


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """As `simulate --suite blocks --episodes 3 --rollouts 2` writes them."""
    out = tmp_path_factory.mktemp("scenes")
    settings = BlockSettings(rollouts=2)
    (out / SETTINGS_FILE).write_text(json.dumps(asdict(settings)))
    for seed in range(3):
        SceneSimulator()(SceneJob(seed, settings, out / f"scene_{seed:06d}.hdf5"))
    return out


@pytest.fixture(scope="module")
def prepared(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    assert main(["prepare", str(scenes), "--out", str(out), "--workers", "2"]) == 0
    return out


@pytest.fixture(scope="module")
def one_scene(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_scene")
    for name in (SETTINGS_FILE, "scene_000000.hdf5"):
        shutil.copy(scenes / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def with_frames(one_scene, tmp_path_factory):
    out = tmp_path_factory.mktemp("with_frames")
    assert main(["prepare", str(one_scene), "--frame-size", "32", "--out", str(out), "--workers", "1"]) == 0
    return out


def shards(out) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.arrow"))}


def test_a_shard_holds_the_futures_of_a_scene(prepared):
    assert list(shards(prepared)) == ["train/scene_000000.arrow", "train/scene_000001.arrow", "val/scene_000002.arrow"]
    dataset = ShardDataset(prepared, "train")
    info = dataset.info
    assert (info.num_frames, info.grid, info.image_size, info.views) == (24, (32, 32), (256, 256), ("camera",))
    assert info.dt == 1 / 12
    assert dataset.rows.demo.tolist() == [
        f"scene_00000{scene}_rollout_00{number}" for scene in (0, 1) for number in (0, 1)
    ]
    first, second = dataset[0], dataset[1]
    np.testing.assert_array_equal(first.image, second.image)
    assert np.abs(first.tracks - second.tracks).max() > 5
    assert futures_of_scenes(dataset) == [[0, 1], [2, 3]]


def test_frames_are_the_video_of_the_rollout_and_the_rest_is_as_without(prepared, with_frames):
    plain, dataset = ShardDataset(prepared, "train"), ShardDataset(with_frames, "train")
    assert plain[0].frames is None and dataset.info.frame_size == (32, 32)
    for index in range(2):
        window = dataset[index]
        assert window.frames.shape == (24, 32, 32, 3) and window.frames.dtype == np.uint8
        np.testing.assert_array_equal(window.frames[0], resize_image(window.image, (32, 32)))
        np.testing.assert_array_equal(window.tracks, plain[index].tracks)
    # Two futures of one picture; and what changes in a video is where something moves.
    assert (dataset[0].frames[-1] != dataset[1].frames[-1]).any()
    changed = np.abs(np.diff(dataset[0].frames.astype(int), axis=0)).max(axis=(0, -1)) > 20
    assert 0.02 < changed.mean() < 0.6


def test_the_size_of_frames_is_one_for_a_folder(with_frames, one_scene, capsys):
    refused = [
        (["--frame-size", "16"], "--frame-size"),
        ([], "--frame-size"),
        (["--frame-size", "512"], "1 to 256"),
        (["--frame-size", "32", "--frames", "24"], "whole rollouts"),
        (["--grid", "32x32"], "--grid: prepare of block scenes would ignore this"),
    ]
    for options, words in refused:
        assert main(["prepare", str(one_scene), "--out", str(with_frames), *options]) == 2
        assert words in capsys.readouterr().err


def test_the_size_of_frames_may_have_the_name_it_had(with_frames, one_scene, capsys):
    assert main(["prepare", str(one_scene), "--out", str(with_frames), "--frames", "32"]) == 0
    assert "is now called --frame-size" in capsys.readouterr().err


def test_the_same_command_makes_only_what_is_missing_and_the_same_again(prepared, scenes, tmp_path):
    out = shutil.copytree(prepared, tmp_path / "out")
    before = shards(out)
    (out / "val" / "scene_000002.arrow").unlink()
    (out / "train" / "scene_000000.arrow").write_bytes(b"kept as it is")
    (out / "train" / ".scene_000000.arrow.0.tmp").write_bytes(b"half")
    assert main(["prepare", str(scenes), "--out", str(out), "--workers", "1"]) == 0
    after = shards(out)
    assert after["val/scene_000002.arrow"] == before["val/scene_000002.arrow"]
    assert after["train/scene_000000.arrow"] == b"kept as it is"
    assert not list(out.rglob("*.tmp"))


def test_a_damaged_scene_is_named_and_the_others_prepared(scenes, tmp_path, capsys):
    copy = shutil.copytree(scenes, tmp_path / "scenes")
    (copy / "scene_000001.hdf5").write_bytes(b"no HDF5")
    assert main(["prepare", str(copy), "--out", str(tmp_path / "out"), "--workers", "1"]) == 1
    assert "scene_000001.hdf5" in capsys.readouterr().err
    assert list(shards(tmp_path / "out")) == ["train/scene_000000.arrow", "val/scene_000002.arrow"]


def test_more_scenes_need_another_folder(prepared, scenes, tmp_path, capsys):
    more = shutil.copytree(scenes, tmp_path / "scenes")
    shutil.copy(more / "scene_000002.hdf5", more / "scene_000003.hdf5")
    assert main(["prepare", str(more), "--out", str(prepared)]) == 2
    assert "another --out" in capsys.readouterr().err


def test_a_folder_without_scenes_says_how_to_make_some(tmp_path, capsys):
    (tmp_path / "blocks.json").write_text("{}")
    assert main(["prepare", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "simulate --suite blocks" in capsys.readouterr().err


@pytest.mark.parametrize("name", [SETTINGS_FILE, "scenes.json"])
def test_a_damaged_list_is_named(prepared, scenes, tmp_path, capsys, name):
    copies = {
        "scenes": shutil.copytree(scenes, tmp_path / "scenes"),
        "out": shutil.copytree(prepared, tmp_path / "out"),
    }
    damaged = copies["scenes" if name == SETTINGS_FILE else "out"] / name
    damaged.write_text('{"rollouts": ')
    assert main(["prepare", str(copies["scenes"]), "--out", str(copies["out"]), "--workers", "1"]) == 2
    assert f"{damaged} is damaged" in capsys.readouterr().err
    assert shards(copies["out"]) == shards(prepared)


def test_scenes_are_prepared_by_themselves(scenes, tmp_path, capsys):
    assert main(["prepare", str(tmp_path), str(scenes), "--out", str(tmp_path / "out")]) == 2
    assert f"{scenes} holds block scenes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--labeler", "lucas_kanade"],
        ["--labeler-weights", "w.pt"],
        ["--labeler-device", "cpu"],
        ["--stride", "1"],
        ["--dt", "0.05"],
        ["--fps", "20"],
        ["--orientation", "upright"],
        ["--view", "side"],
        ["--shard", "1/1"],
        ["--dry-run"],
    ],
)
def test_what_blocks_do_not_offer_is_refused(scenes, tmp_path, capsys, options):
    assert main(["prepare", str(scenes), "--out", str(tmp_path / "out"), *options]) == 2
    assert options[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
