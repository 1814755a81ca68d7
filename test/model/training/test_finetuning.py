"""`trajforecast finetune`: a checkpoint, trained on with data of another robot."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic_shards import write_synthetic_data
from tiny_runs import denoiser_config, run, same_state, state, steps_on_disk

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import load_config
from trajforecast_model.cli import main
from trajforecast_model.data.shards import DatasetInfo, ShardDataset
from trajforecast_model.training.finetuning.start import at_geometry, write_start
from trajforecast_model.training.stages.denoiser import DenoiserStage

QUICK = ["--set", "data.workers=0", "--set", "logging.validation_windows=2", "--set", "logging.validation_samples=1"]
KEEP = ["--set", "keep_vae_below=1000"]  # the VAE of these tests is barely trained
OTHER = dict(image_size=(96, 128), grid=(48, 64), dt=0.1, views=("top",), history_frames=4)


def data_of(folder: Path, **geometry) -> Path:
    write_synthetic_data(folder, info=DatasetInfo(**{"labeler": "lucas_kanade", "stride": 1} | geometry))
    return folder


@pytest.fixture(scope="module")
def checkpoint(barely_trained_vae, tmp_path_factory) -> Path:
    """Sees three past frames of 128 x 128 pixels, 0.05 s apart, in two views."""
    folder = tmp_path_factory.mktemp("checkpoint")
    past = data_of(folder / "past", history_frames=3)
    config = denoiser_config(past, folder / "run", barely_trained_vae, steps=1, history={"frames": 3})
    assert run("denoiser", config, folder) == 0
    return folder / "run" / "checkpoint"


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    return data_of(tmp_path_factory.mktemp("other") / "data", **OTHER)


def finetune(source: Path | None, data: Path | None, out: Path, *options: str, steps: int | None = 2) -> int:
    named = [("--from", source), ("--data", data), ("--steps", steps)]
    given = [str(part) for option, value in named if value is not None for part in (option, value)]
    return main(["finetune", *given, "--out", str(out), *(QUICK if source else []), *options])


def refusal(capsys, *arguments, **options) -> str:
    capsys.readouterr()
    assert finetune(*arguments, **options) == 2
    error = capsys.readouterr().err
    assert error.startswith("trajforecast finetune: error: ") and error.count("\n") == 1, error
    return error


def test_size_points_interval_views_and_past_are_the_datas(checkpoint, other, tmp_path, capsys):
    """And a card beside the checkpoint says from what, on what and how long."""
    assert finetune(checkpoint, other, tmp_path / "run", *KEEP) == 0
    told = capsys.readouterr().out
    for words in (
        "seconds between frames: 0.05 in the checkpoint, now 0.1",
        "views: side, effector in the checkpoint, now top",
        "picture: 128x128 in the checkpoint, now 96x128",
        "points: 64x64 in the checkpoint, now 48x64",
        "past frames: 3 in the checkpoint, now 4",
        "kept",
    ):
        assert words in told, told
    forecaster = Forecaster.from_pretrained(tmp_path / "run")
    config = forecaster.config
    assert (config.dt, config.views, config.image_size, config.grid) == (0.1, ("top",), (96, 128), (48, 64))
    assert forecaster.history_frames == 4
    image = ShardDataset(other, "val")[0].image
    assert forecaster.predict({"top": image}, "push", k=2).tracks.shape == (1, 2, 16, 48, 64, 2)
    report = tmp_path / "report.json"
    command = ["evaluate", "--checkpoint", str(tmp_path / "run"), "--data", str(other), "-k", "1"]
    assert main([*command, "--out", str(report)]) == 0
    assert json.loads(report.read_text())["views"]["top"]["mean_t"]["1"] > 0
    card = (tmp_path / "run" / "checkpoint" / "README.md").read_text()
    for words in (
        str(checkpoint),
        str(other),
        "Steps: 2 of 2",
        "minutes so far",
        "lucas_kanade",
        "push the disc right",
    ):
        assert words in card
    assert "Steps: 2 of 2" in (tmp_path / "run" / "README.md").read_text()


@pytest.mark.parametrize("views", [("side",), ("left", "right", "wrist")])
def test_any_number_of_views_is_trained_on(checkpoint, tmp_path, views):
    data = data_of(tmp_path / "data", views=views)
    assert finetune(checkpoint, data, tmp_path / "run", *KEEP, steps=1) == 0
    assert Forecaster.from_pretrained(tmp_path / "run").config.views == views


def test_an_untrained_start_forecasts_as_the_checkpoint(checkpoint, tmp_path):
    """Also where it takes more of the past, of which nothing is known, and less."""
    start = load_config(checkpoint)
    image = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    past = ShardDataset(data_of(tmp_path / "data", history_frames=5), "val")[0]
    history, visible = past.history_tracks[None], past.history_visibility[None].copy()
    visible[:, :3] = False  # the two newest frames are seen
    theirs = Forecaster.from_pretrained(checkpoint)
    seen = theirs.predict({"side": image}, "push", k=1, history_tracks={"side": (history[:, 2:], visible[:, 2:])})
    for frames in (5, 3, 2):
        now = at_geometry(start, DatasetInfo("exact", 1, history_frames=5), frames)
        write_start(checkpoint, now, tmp_path / f"start_{frames}")
        ours = Forecaster.from_pretrained(tmp_path / f"start_{frames}")
        assert ours.history_frames == frames
        told = {"side": (history[:, -frames:], visible[:, -frames:])}
        forecast = ours.predict({"side": image}, "push", k=1, history_tracks=told)
        np.testing.assert_allclose(forecast.tracks, seen.tracks, atol=1e-3)


def test_without_a_past_in_the_data_it_is_given_up_and_said(checkpoint, data, tmp_path, capsys):
    assert finetune(checkpoint, data, tmp_path / "run", *KEEP, steps=1) == 0
    assert "past frames: 3 in the checkpoint, now 0" in (told := capsys.readouterr().out) and "--history 3" in told
    assert Forecaster.from_pretrained(tmp_path / "run").history_frames == 0


def test_less_of_the_past_can_be_asked_for(checkpoint, other, tmp_path, capsys):
    assert finetune(checkpoint, other, tmp_path / "none", *KEEP, "--history", "0", steps=1) == 0
    assert Forecaster.from_pretrained(tmp_path / "none").history_frames == 0
    assert finetune(checkpoint, other, tmp_path / "two", *KEEP, "--history", "2", steps=1) == 0
    assert Forecaster.from_pretrained(tmp_path / "two").history_frames == 2
    assert "has 4 past frames a window; prepare it with --history 9" in refusal(
        capsys, checkpoint, other, tmp_path / "more", "--history", "9"
    )


def test_a_vae_that_gives_the_data_back_is_kept_and_another_one_trained_on(checkpoint, other, tmp_path, capsys):
    name = "vae.safetensors"
    assert finetune(checkpoint, other, tmp_path / "kept", *KEEP, steps=1) == 0
    start = (tmp_path / "kept" / "start" / name).read_bytes()
    theirs = Forecaster.from_pretrained(checkpoint).vae.state_dict()
    ours = Forecaster.from_pretrained(tmp_path / "kept").vae.state_dict()
    assert all(torch.equal(weight, theirs[key].half().float()) for key, weight in ours.items())

    capsys.readouterr()
    assert finetune(checkpoint, other, tmp_path / "trained", "--set", "vae_training.data.workers=0", steps=4) == 0
    assert "trained on first" in capsys.readouterr().out
    assert steps_on_disk(tmp_path / "trained" / "vae")[-1] == 2, "3 parts in 10 of all steps"
    trained = tmp_path / "trained" / "start_trained_vae"
    assert (trained / name).read_bytes() != start
    assert load_config(tmp_path / "trained" / "checkpoint").latent_std == load_config(trained).latent_std
    assert load_config(trained).latent_std != load_config(checkpoint).latent_std


def test_from_scratch_the_networks_are_the_checkpoints_and_the_weights_are_not(checkpoint, other, tmp_path, capsys):
    options = ("--from-scratch", "--set", "vae_training.data.workers=0")
    assert finetune(checkpoint, other, tmp_path / "run", *options, steps=1) == 0
    assert "trained on first" in capsys.readouterr().out
    theirs = Forecaster.from_pretrained(checkpoint).denoiser.state_dict()
    fresh = Forecaster.from_pretrained(tmp_path / "run" / "start").denoiser.state_dict()
    name = "image_projection.weight"
    assert fresh[name].shape == theirs[name].shape and not torch.allclose(fresh[name], theirs[name], atol=1e-2)
    assert "drawn anew" in (tmp_path / "run" / "checkpoint" / "README.md").read_text()


def interrupted(monkeypatch, step: int) -> None:
    """By Ctrl-C within that step."""
    ordinary, seen = DenoiserStage.loss, []

    def loss(self, *arguments):
        seen.append(1)
        if len(seen) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return ordinary(self, *arguments)

    monkeypatch.setattr(DenoiserStage, "loss", loss)


def test_a_resumed_run_ends_as_the_undisturbed_one(checkpoint, other, tmp_path, monkeypatch):
    options = ("--set", "vae_training.data.workers=0")  # the VAE is trained on, too
    assert finetune(checkpoint, other, tmp_path / "whole", *options, steps=6) == 0
    with monkeypatch.context() as patch:
        interrupted(patch, step=3)
        assert finetune(checkpoint, other, tmp_path / "cut", *options, steps=6) == 130
    assert steps_on_disk(tmp_path / "cut")[-1] == 3
    assert "Steps: 3 of 6" in (tmp_path / "cut" / "checkpoint" / "README.md").read_text()
    assert finetune(None, None, tmp_path / "cut", "--resume", steps=None) == 0
    assert same_state(state(tmp_path / "cut"), state(tmp_path / "whole"))


def test_minutes_become_steps_of_which_a_resumed_run_knows(checkpoint, other, tmp_path, capsys):
    assert finetune(checkpoint, other, tmp_path / "run", *KEEP, "--minutes", "0.002", steps=None) == 0
    steps = json.loads((tmp_path / "run" / "finetune.json").read_text())["config"]["optimisation"]["steps"]
    assert f"are about {steps} steps on this machine" in capsys.readouterr().out
    assert steps_on_disk(tmp_path / "run")[-1] == steps
    assert finetune(None, None, tmp_path / "run", "--resume", steps=None) == 0
    assert steps_on_disk(tmp_path / "run")[-1] == steps


def test_the_same_command_goes_on_and_another_one_is_refused(checkpoint, other, tmp_path, capsys):
    out = tmp_path / "run"
    assert finetune(checkpoint, other, out, *KEEP) == 0
    assert finetune(checkpoint, other, out, *KEEP) == 0
    assert main(["train", "denoiser", "--config", str(out / "config.json")]) == 0, "as its own program would"
    changed = refusal(capsys, checkpoint, other, out, *KEEP, "--learning-rate", "0.1")
    assert "--learning-rate (not given), now it is 0.1" in changed and "--resume" in changed
    assert "holds no fine-tuning" in refusal(capsys, None, None, tmp_path / "empty", "--resume", steps=None)


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        (
            {"num_frames": 12},
            "the checkpoint forecasts 16 frames, windows of the data have 12; prepare it with --frames 16",
        ),
        ({"grid": (32, 40), "image_size": (96, 120)}, "cells of 16 x 16, which do not divide the data's grid of 32x40"),
    ],
)
def test_data_that_the_weights_cannot_take_is_refused(checkpoint, tmp_path, capsys, geometry, words):
    data = data_of(tmp_path / "data", **geometry)
    assert words in refusal(capsys, checkpoint, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_on_is_refused_before_the_work(checkpoint, other, barely_trained_vae, tmp_path, capsys):
    out = tmp_path / "run"
    (tmp_path / "nothing").mkdir()
    write_synthetic_data(tmp_path / "no_val", val=0)
    cases = [
        ((checkpoint, tmp_path / "nothing", out), "it is not a folder written by `trajforecast prepare`"),
        ((checkpoint, tmp_path / "no_val", out), "no windows in its val split"),
        ((checkpoint, None, out), "--data is missing"),
        ((None, other, out), "--from is missing"),
        ((tmp_path / "nowhere", other, out), "does not exist"),
        ((barely_trained_vae, other, out), "is a track VAE alone"),
        ((checkpoint, other, out, "--set", "optimisation.stpes=3"), "did you mean 'steps'"),
        ((checkpoint, other, out, "--set", "data.folder=x"), "--data says that"),
        ((checkpoint, other, out, "--set", "denoiser.depth=9"), "not those of this config"),
        ((checkpoint, other, out, "--batch-size", "1000"), "fewer than one batch of 1000"),
        ((checkpoint, other, out, "--set", "image_encoder=null"), "it is the checkpoint's"),
        ((checkpoint, other, out, "--set", "image_encoder.input_size=5"), "expected [rows,columns]"),
        ((checkpoint, other, out, "--set", "image_encoder.input_size=[50,50]"), "not a multiple of patch_size 16"),
        ((checkpoint, other, out, "--set", "history.frames=many"), "expected a number of frames"),
        ((checkpoint, other, out, "--set", "history=9"), "has 4 past frames a window"),
        ((checkpoint, other, out, "--batch-size", "0"), "--batch-size: got 0"),
    ]
    for arguments, words in cases:
        assert words in refusal(capsys, *arguments), words
        assert not (out / "checkpoints").exists() and not (out / "finetune.json").exists()


def test_a_disk_without_room_is_told_before_the_work(checkpoint, other, tmp_path, capsys, monkeypatch):
    import shutil

    full = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert "the disk is full" in refusal(capsys, checkpoint, other, tmp_path / "run", *KEEP)
    assert not (tmp_path / "run" / "checkpoints").exists()
