"""ATM's baseline through the same loop, checkpoints and protocol as the forecaster."""

import json

import pytest
import torch
from tiny_runs import logged, run, same_state, state

from trajforecast_model.cli import main

MINILM = dict(source="minilm", pooling="mean", dim=384)


def atm_config(data, out, steps: int = 8, **changes) -> dict:
    return {
        "out": str(out),
        "data": {"folder": str(data), "workers": 0},
        "network": dict(dim=64, depth=2, heads=2, image_patch=16, text_dim=384, dropout=0.1, predict_motion=True),
        "text_encoder": MINILM,
        "optimisation": dict(steps=steps, batch_size=8, learning_rate=2e-3, warmup_steps=4, precision="float32"),
        "logging": dict(log_every=1, checkpoint_every=4, validate_every=1000, validation_windows=4),
    } | changes


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("atm")
    assert run("atm", atm_config(data, folder / "run", steps=60), folder) == 0
    return folder / "run"


def test_it_learns_what_moves(trained):
    errors = logged(trained, "train/track_error")
    assert errors[60] < 0.2 * errors[1]
    validated = {name: logged(trained, f"val/side_{name}_px2")[60] for name in ("mean_t", "min", "nothing_moves")}
    assert validated["mean_t"] == validated["min"] < 0.5 * validated["nothing_moves"]


def test_evaluate_asks_it_for_the_query_points_of_the_protocol(data, trained, tmp_path, capsys):
    assert main(["evaluate", "--checkpoint", str(trained / "checkpoint"), "--data", str(data), "-k", "1", "4",
                 "--out", str(tmp_path / "r.json"), "--table", str(tmp_path / "r.md"),
                 "--plots", str(tmp_path / "plots")]) == 0  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text())
    for row in report["views"].values():
        # One future, whatever k: its average, its mean error and its best are the same.
        assert row["mean_t"]["1"] == row["mean_t"]["4"] == row["mean"]["4"] == row["min"]["4"]
        assert row["mean_t"]["4"] < row["nothing_moves"]
    assert report["calibration"] is None and report["convention"]["solver_steps"] is None
    assert report["model"] == "run/checkpoint"
    for options, message in (
        (["--steps", "5"], "steps: got 5, but run/checkpoint has no solver"),
        (["--device", "nonsense"], "device: got 'nonsense'"),
    ):
        assert main(["evaluate", "--checkpoint", str(trained / "checkpoint"), "--data", str(data),
                     "--out", str(tmp_path / "r.json"), *options]) == 2  # fmt: skip
        assert message in capsys.readouterr().err


def test_a_resumed_run_is_the_undisturbed_one_dropout_included(data, tmp_path):
    for name, counts in (("whole", (4,)), ("resumed", (2, 4))):
        for steps in counts:
            # A constant rate, so that the number of steps still to come does not matter.
            config = atm_config(data, tmp_path / name, steps=steps)
            config["logging"] |= dict(checkpoint_every=2, validate_every=2)
            assert run("atm", config, tmp_path) == 0
    assert same_state(state(tmp_path / "whole"), state(tmp_path / "resumed"))


def test_tra_moe_trains_and_is_evaluated_by_the_same_verbs(data, tmp_path):
    config = atm_config(data, tmp_path / "run", steps=2)
    config["network"] |= dict(experts=3)
    assert run("atm", config, tmp_path) == 0
    checkpoint = tmp_path / "run" / "checkpoint"
    assert json.loads((checkpoint / "config.json").read_text())["network"]["experts"] == 3
    assert main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(data), "-k", "1",
                 "--out", str(tmp_path / "r.json")]) == 0  # fmt: skip


def test_query_points_move_where_something_moves(data):
    from trajforecast_model.data.shards import ShardDataset
    from trajforecast_model.files.config import from_dict
    from trajforecast_model.training.batches import collate
    from trajforecast_model.training.configs import ATMTrainConfig
    from trajforecast_model.training.noise import WindowNoise
    from trajforecast_model.training.stages.atm import ATMStage

    stage = ATMStage(from_dict(ATMTrainConfig, atm_config(data, "unused")))
    batch = collate([ShardDataset(data, "train")[0]])
    noise = WindowNoise(0, 0, range(1), torch.device("cpu"))
    tracks = stage._drawn_tracks(batch, noise)
    assert tracks.shape == (1, 16, 32, 2)
    assert (tracks[0, -1] - tracks[0, 0]).norm(dim=-1).min() > 0.1  # 30 px of 128: the disc's
    assert len(tracks[0, 0].unique(dim=0)) > 16
    still = type(batch)(batch.images, batch.tracks[:, :1].expand(-1, 16, -1, -1, -1), batch.instructions)
    anywhere = stage._drawn_tracks(still, noise)[0, 0]
    assert anywhere.std(0).min() > 0.15  # spread over the whole image


def test_a_network_for_other_data_is_refused(data, tmp_path, capsys):
    config = atm_config(data, tmp_path / "run")
    config["network"] |= dict(num_frames=8)
    assert run("atm", config, tmp_path) == 2
    assert "network.num_frames is 8, the data's is 16" in capsys.readouterr().err
    config["network"] |= dict(num_frames=16, text_dim=768)
    assert run("atm", config, tmp_path) == 2
    assert "text_encoder.dim 384" in capsys.readouterr().err


def test_a_damaged_baseline_is_one_message(trained, data, tmp_path, capsys):
    folder = tmp_path / "other"
    folder.mkdir()
    values = json.loads((trained / "checkpoint" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"baseline": "atn"}))
    arguments = ["evaluate", "--checkpoint", str(folder), "--data", str(data), "--out", str(tmp_path / "r.json")]
    assert main(arguments) == 2
    assert "expected one of atm" in capsys.readouterr().err
    (folder / "config.json").write_text(json.dumps(values))
    assert main(arguments) == 2
    assert "network.safetensors does not exist" in capsys.readouterr().err
