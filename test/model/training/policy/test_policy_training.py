"""`train policy`: what it learns, its twins, what it leaves on disk and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from policy_data import action_for, policy_config, write_labelled_demos
from synthetic_shards import DIRECTIONS
from tiny_model import randomise, tiny_config, write_tiny_checkpoint
from tiny_runs import logged, run

from trajforecast_model import Forecaster
from trajforecast_model.checkpoint import save_weights
from trajforecast_model.data.shards import ShardDataset
from trajforecast_model.files.config import from_dict, load, to_dict
from trajforecast_model.networks.denoiser import Denoiser
from trajforecast_model.policy.policy import Policy
from trajforecast_model.training.configs import PolicyTrainConfig
from trajforecast_model.training.distributed import World
from trajforecast_model.training.policy.moments import Moments

CONFIG = Path(__file__).parents[4] / "config" / "train" / "libero_object_policy.yaml"
BODY = (np.zeros(7), np.zeros(2))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write_labelled_demos(tmp_path_factory.mktemp("labelled"))


@pytest.fixture
def images(labelled):
    windows = ShardDataset(labelled / "data", "val")
    return windows.images_at(0)


@pytest.mark.parametrize("tracks", ["forecast", "none"])
def test_it_does_what_it_is_told(labelled, tiny_checkpoint, images, tmp_path, tracks):
    config = policy_config(labelled, tmp_path / "run", tiny_checkpoint, steps=120, tracks=tracks)
    assert run("policy", config, tmp_path) == 0
    policy = Policy.from_pretrained(tmp_path / "run")
    for instruction in DIRECTIONS:
        told = policy.told(policy.forecast(images, instruction, seed=0)) if policy.needs_tracks else None
        chunk = policy.chunk(images, *BODY, instruction, told)
        assert chunk.shape == (16, 7) and chunk.dtype == np.float32
        assert np.abs(chunk.mean(0) - action_for(instruction)).max() < 0.4
    assert (tmp_path / "cache" / "forecasts").exists() == (tracks == "forecast")


@pytest.mark.parametrize("tracks", ["swapped", "exact"])
def test_its_twins_train_alike(labelled, tiny_checkpoint, tmp_path, tracks):
    config = policy_config(labelled, tmp_path / "run", tiny_checkpoint, tracks=tracks)
    assert run("policy", config, tmp_path) == 0
    assert json.loads((tmp_path / "run" / "checkpoint" / "config.json").read_text())["tracks"] == tracks


def test_true_tracks_are_those_of_the_windows(labelled, tiny_checkpoint, tmp_path):
    config = policy_config(labelled, tmp_path / "run", tiny_checkpoint, tracks="exact")
    moments = Moments(from_dict(PolicyTrainConfig, config), Forecaster.from_pretrained(tiny_checkpoint), "train", 10)
    moments.load(World(device="cpu"))
    batch = moments.collate([0, 1])
    told = batch.tracks.float().unflatten(-1, (2, 5, 2))  # [B, V, P, F, S, xy]
    furthest = told.abs().amax((1, 2))  # of all points
    for number, instruction in enumerate(batch.instructions):
        # A cell within the disc goes 2 pixels a step: in 15 steps 30 pixels, of which an eighth of the picture has 16.
        np.testing.assert_allclose(furthest[number, 0, -1], np.array(DIRECTIONS[instruction]) * 15 / 16, rtol=0.01)
    np.testing.assert_array_equal(told[:, :, :, 0], told[:, :, :, 1])


def test_the_shipped_config_takes_a_step_beside_the_shipped_forecaster(labelled, tmp_path):
    config = to_dict(load(PolicyTrainConfig, CONFIG)) | {"out": str(tmp_path / "run")}
    config["data"] |= {
        "folder": str(labelled / "data"),
        "demos": str(labelled / "demos"),
        "cache": str(tmp_path / "cache"),
    }
    config["optimisation"] |= dict(steps=1, batch_size=2)
    assert run("policy", config, tmp_path) == 0
    weights = tmp_path / "run" / "checkpoint" / "policy.safetensors"
    assert 2**20 < weights.stat().st_size < 10 * 2**20


def test_a_stopped_run_goes_on_as_if_it_had_not_been(labelled, tiny_checkpoint, tmp_path):
    whole = policy_config(labelled, tmp_path / "whole", tiny_checkpoint, steps=8)
    assert run("policy", whole, tmp_path) == 0
    for steps in (4, 8):
        parts = policy_config(labelled, tmp_path / "parts", tiny_checkpoint, steps=steps)
        assert run("policy", parts, tmp_path) == 0
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    exports = [tmp_path / name / "checkpoint" / "policy.safetensors" for name in ("parts", "whole")]
    assert exports[0].read_bytes() == exports[1].read_bytes()


def test_it_learns_from_the_first_demos_of_a_task(labelled, tiny_checkpoint, tmp_path, capsys):
    config = policy_config(labelled, tmp_path / "run", tiny_checkpoint)
    config["data"]["demos_per_task"] = 5
    assert run("policy", config, tmp_path) == 0
    assert "5 windows" in capsys.readouterr().out
    assert len(list((tmp_path / "cache" / "tokens" / "train").iterdir())) == 5
    assert len(list((tmp_path / "cache" / "tokens" / "val").iterdir())) == 1


def test_nothing_of_a_checkpoint_is_unpickled(labelled, tiny_checkpoint, tmp_path):
    assert run("policy", policy_config(labelled, tmp_path / "run", tiny_checkpoint), tmp_path) == 0
    files = sorted(path.name for path in (tmp_path / "run" / "checkpoint").iterdir())
    assert files == ["config.json", "policy.safetensors"]


def test_another_forecaster_is_refused_when_it_is_loaded(labelled, tiny_checkpoint, tmp_path):
    assert run("policy", policy_config(labelled, tmp_path / "run", tiny_checkpoint), tmp_path) == 0
    write_tiny_checkpoint(tmp_path / "other")
    save_weights(randomise(Denoiser(tiny_config().denoiser), seed=1), tmp_path / "other" / "denoiser.safetensors")
    with pytest.raises(ValueError, match="was trained with the forecaster"):
        Policy.from_pretrained(tmp_path / "run", forecaster=tmp_path / "other")
    assert Policy.from_pretrained(tmp_path / "run", forecaster=tiny_checkpoint)


def test_a_cache_of_another_forecaster_is_refused(labelled, tiny_checkpoint, tmp_path, capsys):
    assert run("policy", policy_config(labelled, tmp_path / "run", tiny_checkpoint), tmp_path) == 0
    write_tiny_checkpoint(tmp_path / "other")
    save_weights(randomise(Denoiser(tiny_config().denoiser), seed=1), tmp_path / "other" / "denoiser.safetensors")
    assert run("policy", policy_config(labelled, tmp_path / "second", tmp_path / "other"), tmp_path) == 2
    assert "choose another data.cache" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("datasets", "complaint"),
    [
        ({"actions": None}, "has no actions"),
        ({"actions": np.full((20, 7), np.nan)}, "actions are [20, 7], expected finite numbers"),
        ({"actions": np.zeros((20, 6))}, "expected finite numbers of [frames, 7]"),
        ({"actions": np.zeros((7, 7))}, "7 actions and 20 readings"),
        ({"states": np.full((20, 30), np.inf)}, "joints and fingers"),
        ({"states": None}, "neither states nor obs/joint_states"),
    ],
)
def test_demos_without_what_it_needs_are_refused_before_the_work(
    tiny_checkpoint, tmp_path, capsys, datasets, complaint
):
    labelled = write_labelled_demos(tmp_path / "labelled", **datasets)
    assert run("policy", policy_config(labelled, tmp_path / "run", tiny_checkpoint), tmp_path) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tracks": "some"}, "tracks: got 'some'"),
        ({"track_input": {"steps": [3, 16]}}, "the forecast's last step is 15"),
        ({"track_input": {"cells": [7, 8]}}, "do not divide"),
        ({"execution": {"every": 17}}, "a chunk has 16 actions"),
        ({"forecaster": "libero_object_huge"}, "does not exist"),
        ({"tracks": "swapped", "optimisation": dict(steps=4, batch_size=4, accumulate=4)}, "raise the first"),
        ({"network": {"dim": 30, "heads": 4}}, "does not divide"),
    ],
)
def test_wrong_settings_are_refused_before_the_work(labelled, tiny_checkpoint, tmp_path, capsys, changes, complaint):
    assert run("policy", policy_config(labelled, tmp_path / "run", tiny_checkpoint) | changes, tmp_path) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_a_forecaster_without_words_is_refused(labelled, tmp_path, capsys):
    write_tiny_checkpoint(tmp_path / "wordless", text=False)
    assert run("policy", policy_config(labelled, tmp_path / "run", tmp_path / "wordless"), tmp_path) == 2
    assert "reads no instructions" in capsys.readouterr().err


def test_demos_that_were_not_prepared_are_refused(labelled, tiny_checkpoint, tmp_path, capsys):
    config = policy_config(labelled, tmp_path / "run", tiny_checkpoint)
    shutil.copytree(labelled / "demos", tmp_path / "demos")
    (tmp_path / "demos" / "discs_demo.hdf5").rename(tmp_path / "demos" / "other_demo.hdf5")
    config["data"]["demos"] = str(tmp_path / "demos")
    assert run("policy", config, tmp_path) == 2
    assert "has no discs_demo.hdf5" in capsys.readouterr().err
