"""Paths as people write them, and outputs that are tried before the work."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from trajforecast_model.checkpoint import checkpoint_folder
from trajforecast_model.cli import main
from trajforecast_model.data.sources.find import find_sources
from trajforecast_model.files.config import load
from trajforecast_model.files.outputs import ready_file, ready_folder, ready_new_folder
from trajforecast_model.files.paths import all_expanded, expanded, files_below
from trajforecast_model.training.configs import DenoiserTrainConfig
from trajforecast_model.verbs.arguments import checkpoint
from trajforecast_model.verbs.prediction import given_files


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_the_home_folder_stands_for_its_sign_in_configs_and_what_they_extend(home):
    (home / "base.yaml").write_text("text_encoder: {source: ~/bert}\ndata: {folder: x, feature_cache: ~/features}\n")
    (home / "config.yaml").write_text("extends: ~/base.yaml\nout: ~/run\noptimisation: {steps: 1, batch_size: 1}\n")
    config = load(DenoiserTrainConfig, "~/config.yaml", ["data.folder=~/shards", "vae=~/vae", "start_from=null"])
    assert (config.out, config.vae, config.start_from) == (f"{home}/run", f"{home}/vae", None)
    assert (config.data.folder, config.data.feature_cache) == (f"{home}/shards", f"{home}/features")
    assert config.text_encoder.source == f"{home}/bert"
    assert all_expanded({"views": ["a~b", "~/c"], "n": 3}) == {"views": ["a~b", f"{home}/c"], "n": 3}


def test_and_in_arguments(home, capsys):
    assert given_files(["side=~/a.png"], None, None).files == {"side": home / "a.png"}
    assert (checkpoint("~/run"), checkpoint("user/model")) == (f"{home}/run", "user/model")
    (home / "run").mkdir()
    assert checkpoint_folder("~/run", allow_download=False) == home / "run"
    with pytest.raises(ValueError, match="write the folder out"):
        expanded("~nobody_of_that_name/run")
    assert main(["prepare", "~/nothing", "--out=~/shards"]) == 2
    assert f"{home}/nothing does not exist" in capsys.readouterr().err
    assert main(["train", "vae", "--config=~/none.yaml"]) == 2
    assert f"{home}/none.yaml does not exist" in capsys.readouterr().err


def test_files_are_found_behind_links_each_once_and_no_hidden_ones(tmp_path):
    store, folder = tmp_path / "store", tmp_path / "folder"
    for file in (store / "deep" / "a_demo.h5", store / ".unfinished" / "b_demo.hdf5", store / "._a_demo.hdf5"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    folder.mkdir()
    (folder / "linked").symlink_to(store)
    (folder / "linked_again").symlink_to(store)
    (store / "deep" / "around").symlink_to(folder)
    (folder / "b_demo.hdf5").symlink_to(store / ".unfinished" / "b_demo.hdf5")
    found = [folder / "b_demo.hdf5", folder / "linked" / "deep" / "a_demo.h5"]
    assert sorted(files_below(folder)) == found
    assert [source.task for source in find_sources([folder])] == ["a", "b"]


def test_outputs_are_tried_and_nothing_is_left_of_it(tmp_path):
    (tmp_path / "file").write_text("")
    assert ready_file("out", tmp_path / "new" / "a.json") == tmp_path / "new" / "a.json"
    assert ready_folder("out", tmp_path / "new") == ready_new_folder("out", tmp_path / "new")
    for ready in (ready_file, ready_folder, ready_new_folder):
        with pytest.raises(ValueError, match=r"out: .*cannot be written \(not a directory\)"):
            ready("out", tmp_path / "file" / "below")
    with pytest.raises(ValueError, match="is a folder, expected the name of a file"):
        ready_file("out", tmp_path)
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        ready_folder("out", tmp_path / "file")
    with pytest.raises(ValueError, match="give --out a new folder"):
        ready_new_folder("out", tmp_path)
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="is a link to nothing"):
        ready_folder("out", tmp_path / "lost")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "lost"]


def test_a_disk_that_may_only_be_read_is_told_by_its_option(tmp_path, monkeypatch):
    def read_only(**_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(ValueError, match=r"table: .*a\.md cannot be written \(read-only file system\)"):
        ready_file("table", tmp_path / "a.md")


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "--suite", "blocks", "--episodes", "1", "--out", "FILE/x"],
        ["prepare", "nowhere", "--out", "FILE/x"],
        ["predict", "--checkpoint", "no", "--image", "side=no.png", "--instruction", "stay", "--out", "FILE/x.npz"],
        ["evaluate", "--checkpoint", "no", "--data", "nowhere", "--out", "FILE/x.json"],
        ["evaluate", "--checkpoint", "no", "--data", "nowhere", "--out", "OK.json", "--plots", "FILE/x"],
        ["few-steps", "--checkpoint", "no", "--data", "nowhere", "--out", "FILE/x.json"],
        ["compare", "nowhere.json", "nor_here.json", "--out", "FILE/x.md"],
        ["labeler-eval", "nowhere", "--labelers", "lucas_kanade", "--out", "FILE/x.json"],
        ["convert", "atm", "--checkpoint", "nowhere.pt", "--out", "FILE/x"],
        ["convert", "whn", "--denoiser", "nowhere.pt", "--out", "FILE/x"],
        ["export", "onnx", "--checkpoint", "no", "--out", "FILE/x"],
        ["bench", "--checkpoint", "no", "--out", "FILE/x.json"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_every_verb_tries_its_output_first(arguments, tmp_path, capsys):
    (tmp_path / "FILE").write_text("")
    here = [
        argument.replace("FILE", str(tmp_path / "FILE")).replace("OK", str(tmp_path / "OK")) for argument in arguments
    ]
    assert main(here) == 2
    assert "cannot be written (not a directory)" in capsys.readouterr().err
